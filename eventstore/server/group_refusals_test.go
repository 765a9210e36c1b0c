package server_test

import (
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// trailers calls Create and returns what a client sees.
func told(t testing.TB, call func(opts ...grpc.CallOption) error) (codes.Code, metadata.MD) {
	t.Helper()
	var md metadata.MD
	err := call(grpc.Trailer(&md))
	return status.Code(err), md
}

func plainSettings() *persistent.CreateReq_Settings {
	return &persistent.CreateReq_Settings{HistoryBufferSize: 500, ReadBatchSize: 20, MaxRetryCount: 10, MaxCheckpointCount: 1000, ConsumerStrategy: "RoundRobin"}
}

func streamGroup(stream, group string, s *persistent.CreateReq_Settings) *persistent.CreateReq {
	return &persistent.CreateReq{Options: &persistent.CreateReq_Options{GroupName: group, Settings: s, StreamOption: &persistent.CreateReq_Options_Stream{
		Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
			RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}}}}
}

func TestGroupRefusalsAndTheirTrailers(t *testing.T) {
	url := servertest.Start(t)
	p := persistent.NewPersistentSubscriptionsClient(dial(t, url))
	create := func(req *persistent.CreateReq) func(...grpc.CallOption) error {
		return func(o ...grpc.CallOption) error { _, err := p.Create(within(t), req, o...); return err }
	}
	if code, _ := told(t, create(streamGroup("s", "g", plainSettings()))); code != codes.OK {
		t.Fatal(code)
	}
	change := func(f func(*persistent.CreateReq_Settings)) *persistent.CreateReq {
		s := plainSettings()
		f(s)
		return streamGroup("s", "x", s)
	}
	beyond := &persistent.CreateReq{Options: &persistent.CreateReq_Options{GroupName: "x", Settings: plainSettings(), StreamOption: &persistent.CreateReq_Options_All{
		All: &persistent.CreateReq_AllOptions{AllOption: &persistent.CreateReq_AllOptions_Position{Position: &persistent.CreateReq_Position{CommitPosition: 1 << 40}}}}}}
	badFilter := &persistent.CreateReq{Options: &persistent.CreateReq_Options{GroupName: "x", Settings: plainSettings(), StreamOption: &persistent.CreateReq_Options_All{
		All: &persistent.CreateReq_AllOptions{AllOption: &persistent.CreateReq_AllOptions_Start{Start: &shared.Empty{}},
			FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{
				Filter: &persistent.CreateReq_AllOptions_FilterOptions_EventType{EventType: &persistent.CreateReq_AllOptions_FilterOptions_Expression{Regex: "("}}}}}}}}
	for name, tc := range map[string]struct {
		call      func(...grpc.CallOption) error
		code      codes.Code
		exception string
	}{
		"exists":           {create(streamGroup("s", "g", plainSettings())), codes.AlreadyExists, "persistent-subscription-exists"},
		"strategy":         {create(change(func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = "Random" })), codes.Internal, "persistent-subscription-failed"},
		"batch":            {create(change(func(s *persistent.CreateReq_Settings) { s.ReadBatchSize = 500 })), codes.Internal, "persistent-subscription-failed"},
		"no batch":         {create(change(func(s *persistent.CreateReq_Settings) { s.ReadBatchSize = 0 })), codes.Internal, "persistent-subscription-failed"},
		"negative":         {create(change(func(s *persistent.CreateReq_Settings) { s.MaxRetryCount = -1 })), codes.Internal, "persistent-subscription-failed"},
		"beyond the end":   {create(beyond), codes.Internal, "persistent-subscription-failed"},
		"filter":           {create(badFilter), codes.InvalidArgument, ""},
		"no stream":        {create(streamGroup("", "g", plainSettings())), codes.InvalidArgument, ""},
		"no group":         {create(streamGroup("s", "", plainSettings())), codes.InvalidArgument, ""},
		"$all as a stream": {create(streamGroup("$all", "g", plainSettings())), codes.InvalidArgument, ""},
		"a name too long":  {create(streamGroup("s", strings.Repeat("x", 4096), plainSettings())), codes.InvalidArgument, ""},
		"an endless name":  {create(streamGroup("s", strings.Repeat("x", 4<<20), plainSettings())), codes.InvalidArgument, ""},
		"no settings":      {create(streamGroup("s", "x", nil)), codes.InvalidArgument, ""},
		"nothing":          {create(&persistent.CreateReq{}), codes.InvalidArgument, ""},
		"update nothing": {func(o ...grpc.CallOption) error {
			_, err := p.Update(within(t), &persistent.UpdateReq{}, o...)
			return err
		}, codes.InvalidArgument, ""},
		"delete": {func(o ...grpc.CallOption) error {
			_, err := p.Delete(within(t), &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{GroupName: "none",
				StreamOption: &persistent.DeleteReq_Options_All{All: &shared.Empty{}}}}, o...)
			return err
		}, codes.NotFound, "persistent-subscription-does-not-exist"},
		"delete nothing": {func(o ...grpc.CallOption) error {
			_, err := p.Delete(within(t), &persistent.DeleteReq{}, o...)
			return err
		}, codes.InvalidArgument, ""},
		"info": {func(o ...grpc.CallOption) error {
			_, err := p.GetInfo(within(t), &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{GroupName: "g",
				StreamOption: &persistent.GetInfoReq_Options_All{All: &shared.Empty{}}}}, o...)
			return err
		}, codes.NotFound, "persistent-subscription-does-not-exist"},
		"list": {func(o ...grpc.CallOption) error {
			_, err := p.List(within(t), &persistent.ListReq{Options: &persistent.ListReq_Options{ListOption: &persistent.ListReq_Options_ListForStream{
				ListForStream: &persistent.ListReq_StreamOption{StreamOption: &persistent.ListReq_StreamOption_Stream{
					Stream: &shared.StreamIdentifier{StreamName: []byte("none")}}}}}}, o...)
			return err
		}, codes.NotFound, "persistent-subscription-does-not-exist"},
	} {
		code, md := told(t, tc.call)
		if code != tc.code {
			t.Errorf("%s: %v, want %v", name, code, tc.code)
		}
		if got := strings.Join(md["exception"], " "); got != tc.exception {
			t.Errorf("%s: exception %q", name, got)
		}
		if tc.exception != "" && (len(md["stream-name"]) != 1 || len(md["group-name"]) != 1) {
			t.Errorf("%s: %v", name, md)
		}
		if tc.exception == "persistent-subscription-failed" && len(md["reason"]) != 1 {
			t.Errorf("%s: %v", name, md)
		}
	}
}

func TestOldFormOfRequests(t *testing.T) {
	url := servertest.Start(t)
	c, p := connect(t, url), persistent.NewPersistentSubscriptionsClient(dial(t, url))
	write(t, c, "s", esdb.NoStream{}, 0, 1)
	for group, revision := range map[string]uint64{"end": math.MaxUint64, "one": 1} {
		s := plainSettings()
		s.ConsumerStrategy, s.NamedConsumerStrategy, s.Revision = "", persistent.CreateReq_Pinned, revision //nolint:staticcheck // the form that is tested
		s.MessageTimeout = &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 25_000}
		_, err := p.Create(within(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}, GroupName: group, Settings: s}}) //nolint:staticcheck // likewise
		if err != nil {
			t.Fatal(err)
		}
	}
	until(t, c, "s", "end", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Settings.StartFrom == esdb.End{} && i.Settings.MessageTimeout == 3 && i.Settings.ConsumerStrategyName == esdb.ConsumerStrategyPinned
	})
	_, err := p.Update(within(t), &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}, GroupName: "one", //nolint:staticcheck // likewise
		Settings: &persistent.UpdateReq_Settings{HistoryBufferSize: 10, ReadBatchSize: 5, MaxRetryCount: 7, NamedConsumerStrategy: persistent.UpdateReq_RoundRobin, Revision: 1}}}) //nolint:staticcheck // likewise
	if err != nil {
		t.Fatal(err)
	}
	until(t, c, "s", "one", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Settings.MaxRetryCount == 7 })
	expect(t, subscribe(t, c, "s", "one", 5), "s/1")
	end := subscribe(t, c, "s", "end", 5)
	write(t, c, "s", esdb.StreamExists{}, 2)
	expect(t, end, "s/2")
}

func TestNamesThatAreHardToSend(t *testing.T) {
	c := connect(t, servertest.Start(t))
	for _, name := range []string{"/a b/ü", "emoji-🛒", "new\nline", "a::b", "$sys"} {
		createGroup(t, c, name, name, esdb.Start{}, nil)
		err := c.CreatePersistentSubscription(within(t), name, name, esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
		if codeOf(err) != esdb.ErrorCodeResourceAlreadyExists {
			t.Errorf("%q: %v", name, err)
		}
		info, err := c.GetPersistentSubscriptionInfo(within(t), name, name, esdb.GetPersistentSubscriptionOptions{})
		if err != nil || info.EventSource != name || info.GroupName != name {
			t.Errorf("%q: %+v %v", name, info, err)
		}
	}
}

// Some clients say "never" by the largest number of ticks there is. It must fit where durations are counted in nanoseconds.
func TestATimeoutWithoutEndIsLong(t *testing.T) {
	for ticks, want := range map[int64]int64{math.MaxInt64: math.MaxInt32, 1: 1, 10_000: 1, 10_001: 2, 0: 0, -1: -1} {
		if got := server.Milliseconds(0, ticks); got != want {
			t.Errorf("%d ticks are %d ms, want %d", ticks, got, want)
		}
	}
}
