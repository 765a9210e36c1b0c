package server_test

import (
	"context"
	"fmt"
	"math"
	"slices"
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

// settings are the client's defaults, changed.
func settings(change func(*esdb.PersistentSubscriptionSettings)) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	if change != nil {
		change(&s)
	}
	return &s
}

// always saves a checkpoint whenever there is any progress.
func always(s *esdb.PersistentSubscriptionSettings) {
	s.CheckpointLowerBound, s.CheckpointUpperBound = 1, 1
}

func createGroup(t testing.TB, c *esdb.Client, stream, group string, from esdb.StreamPosition, s *esdb.PersistentSubscriptionSettings) {
	t.Helper()
	err := c.CreatePersistentSubscription(within(t), stream, group, esdb.PersistentStreamSubscriptionOptions{StartFrom: from, Settings: s})
	if err != nil {
		t.Fatal(err)
	}
}

func subscribe(t testing.TB, c *esdb.Client, stream, group string, size uint32) *esdb.PersistentSubscription {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := c.SubscribeToPersistentSubscription(ctx, stream, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func subscribeAll(t testing.TB, c *esdb.Client, group string, size uint32) *esdb.PersistentSubscription {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := c.SubscribeToPersistentSubscriptionToAll(ctx, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// next receives a message within the test's time.
func next(t testing.TB, s *esdb.PersistentSubscription) *esdb.EventAppeared {
	t.Helper()
	got := make(chan *esdb.PersistentSubscriptionEvent, 1)
	go func() { got <- s.Recv() }()
	select {
	case e := <-got:
		if e.EventAppeared == nil {
			t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
		}
		return e.EventAppeared
	case <-within(t).Done():
		t.Fatal("no message in time")
	}
	return nil
}

// expect receives messages and compares "stream/revision" of the originals, with "+n" for a retry.
func expect(t testing.TB, s *esdb.PersistentSubscription, want ...string) (got []*esdb.ResolvedEvent) {
	t.Helper()
	var names []string
	for range want {
		e := next(t, s)
		name := fmt.Sprintf("%s/%d", e.Event.OriginalEvent().StreamID, e.Event.OriginalEvent().EventNumber)
		if e.RetryCount > 0 {
			name += fmt.Sprintf("+%d", e.RetryCount)
		}
		names = append(names, name)
		got = append(got, e.Event)
	}
	if !slices.Equal(names, want) {
		t.Fatalf("got %v, want %v", names, want)
	}
	return got
}

func ack(t testing.TB, s *esdb.PersistentSubscription, events ...*esdb.ResolvedEvent) {
	t.Helper()
	if err := s.Ack(events...); err != nil {
		t.Fatal(err)
	}
}

func nack(t testing.TB, s *esdb.PersistentSubscription, a esdb.NackAction, events ...*esdb.ResolvedEvent) {
	t.Helper()
	if err := s.Nack("because", a, events...); err != nil {
		t.Fatal(err)
	}
}

// until asks for the group's description until it is as wanted.
func until(t testing.TB, c *esdb.Client, stream, group string, wanted func(*esdb.PersistentSubscriptionInfo) bool) {
	t.Helper()
	var info *esdb.PersistentSubscriptionInfo
	for ctx := within(t); ctx.Err() == nil; {
		var err error
		if stream == "$all" {
			info, err = c.GetPersistentSubscriptionInfoToAll(ctx, group, esdb.GetPersistentSubscriptionOptions{})
		} else {
			info, err = c.GetPersistentSubscriptionInfo(ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if wanted(info) {
			return
		}
	}
	t.Fatalf("not in time: %+v %+v %+v", info, info.Settings, info.Stats)
}

func checkpointed(revision uint64) func(*esdb.PersistentSubscriptionInfo) bool {
	return func(i *esdb.PersistentSubscriptionInfo) bool {
		at := i.Stats.LastCheckpointedEventRevision
		return at != nil && *at == revision
	}
}

func parkedCount(n int64) func(*esdb.PersistentSubscriptionInfo) bool {
	return func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == n }
}

func TestGroupDeliversInOrderWithinTheBufferAndRetries(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2, 3)
	createGroup(t, c, "s", "g", esdb.Revision(1), settings(nil))
	s := subscribe(t, c, "s", "g", 2)
	m := expect(t, s, "s/1", "s/2")
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool {
		return len(i.Connections) == 1 && i.Connections[0].InFlightMessages == 2 && i.Connections[0].AvailableSlots == 0 && i.Connections[0].TotalItemsProcessed == 2
	})
	nack(t, s, esdb.NackActionRetry, m[0])
	again := expect(t, s, "s/1+1")
	ack(t, s, again[0])
	expect(t, s, "s/3")
	write(t, c, "s", esdb.StreamExists{}, 4)
	nack(t, s, esdb.NackActionSkip, m[1])
	expect(t, s, "s/4")
}

func TestGroupOfAMissingStreamWaitsForIt(t *testing.T) {
	c := connect(t, servertest.Start(t))
	createGroup(t, c, "later", "start", esdb.Start{}, nil)
	createGroup(t, c, "later", "end", esdb.End{}, nil)
	start, end := subscribe(t, c, "later", "start", 5), subscribe(t, c, "later", "end", 5)
	write(t, c, "later", esdb.NoStream{}, 0, 1)
	expect(t, start, "later/0", "later/1")
	expect(t, end, "later/0", "later/1")
	createGroup(t, c, "later", "end2", esdb.End{}, nil)
	write(t, c, "later", esdb.StreamExists{}, 2)
	expect(t, subscribe(t, c, "later", "end2", 5), "later/2")
}

func TestGroupsAndCheckpointsSurviveARestart(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := connect(t, store.URL)
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2, 3, 4)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(always))
	createGroup(t, c, "s", "gone", esdb.Start{}, nil)
	if err := c.DeletePersistentSubscription(within(t), "s", "gone", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, c, "s", "g", 3)
	m := expect(t, s, "s/0", "s/1", "s/2")
	ack(t, s, m[0], m[2])
	until(t, c, "s", "g", checkpointed(0))
	store.Restart()
	if e := s.Recv(); e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != codes.Unavailable {
		// What was on its way may come first.
		for e.SubscriptionDropped == nil {
			e = s.Recv()
		}
		if status.Code(e.SubscriptionDropped.Error) != codes.Unavailable {
			t.Errorf("stopping: %v", e.SubscriptionDropped.Error)
		}
	}
	c = connect(t, store.URL)
	expect(t, subscribe(t, c, "s", "g", 10), "s/1", "s/2", "s/3", "s/4")
	all, err := c.ListAllPersistentSubscriptions(within(t), esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(all) != 1 || all[0].GroupName != "g" {
		t.Errorf("%v %v", all, err)
	}
}

func TestParkingAndReplay(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2, 3)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 1; always(s) }))
	s := subscribe(t, c, "s", "g", 4)
	m := expect(t, s, "s/0", "s/1", "s/2", "s/3")
	nack(t, s, esdb.NackActionPark, m[2], m[0])
	nack(t, s, esdb.NackActionRetry, m[1])
	again := expect(t, s, "s/1+1")
	nack(t, s, esdb.NackActionRetry, again[0])
	until(t, c, "s", "g", parkedCount(3))
	const parked = "$persistentsubscription-s::g-parked"
	r, err := c.ReadStream(within(t), parked, esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, r, err)); got != "[0:2@s 1:0@s 2:1@s]" {
		t.Fatal(got)
	}
	replay := func(stop int) {
		t.Helper()
		if err := c.ReplayParkedMessages(within(t), "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: stop}); err != nil {
			t.Fatal(err)
		}
	}
	replay(2)
	back := expect(t, s, parked+"/0", parked+"/1")
	if e := back[0]; e.Event == nil || e.Event.StreamID != "s" || e.Event.EventNumber != 2 || e.Link == nil {
		t.Errorf("%+v", e)
	}
	until(t, c, "s", "g", parkedCount(1))
	ack(t, s, back[1])
	nack(t, s, esdb.NackActionPark, back[0]) // goes behind the others
	until(t, c, "s", "g", parkedCount(2))
	ack(t, s, m[3])
	until(t, c, "s", "g", checkpointed(3))
	meta, err := c.GetStreamMetadata(within(t), parked, esdb.ReadStreamOptions{})
	for ctx := within(t); err == nil && ctx.Err() == nil && (meta.TruncateBefore() == nil || *meta.TruncateBefore() != 2); {
		meta, err = c.GetStreamMetadata(within(t), parked, esdb.ReadStreamOptions{})
	}
	if err != nil || meta.TruncateBefore() == nil || *meta.TruncateBefore() != 2 {
		t.Errorf("%v %v", meta, err)
	}
	replay(0)
	back = expect(t, s, parked+"/2", parked+"/3")
	if back[0].Event.EventNumber != 1 || back[1].Event.EventNumber != 2 {
		t.Errorf("%+v %+v", back[0].Event, back[1].Event)
	}
	ack(t, s, back...)
	until(t, c, "s", "g", parkedCount(0))
	replay(0) // nothing left: fine
	if err := c.ReplayParkedMessages(within(t), "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: -1}); err == nil {
		t.Error("a negative stop was taken")
	}
}

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

func TestUpdateDeleteAndRestartDropConsumers(t *testing.T) {
	url := servertest.Start(t)
	c, p := connect(t, url), persistent.NewPersistentSubscriptionsClient(dial(t, url))
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(always))
	read := func() persistent.PersistentSubscriptions_ReadClient {
		t.Helper()
		r, err := p.Read(within(t))
		if err != nil {
			t.Fatal(err)
		}
		err = r.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{GroupName: "g", BufferSize: 1,
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}}}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Recv()
		if err != nil || m.GetSubscriptionConfirmation().GetSubscriptionId() != "s::g" {
			t.Fatal(m, err)
		}
		return r
	}
	dropped := func(what string, r persistent.PersistentSubscriptions_ReadClient) {
		t.Helper()
		var err error
		for err == nil {
			_, err = r.Recv()
		}
		md := r.Trailer()
		if status.Code(err) != codes.Canceled || fmt.Sprint(md["exception"], md["stream-name"], md["group-name"]) != "[persistent-subscription-dropped] [s] [g]" {
			t.Errorf("%s: %v %v", what, err, md)
		}
	}
	s := subscribe(t, c, "s", "g", 1)
	ack(t, s, expect(t, s, "s/0")...)
	until(t, c, "s", "g", checkpointed(0))
	_ = s.Close()
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return len(i.Connections) == 0 })

	r := read()
	err := c.UpdatePersistentSubscription(within(t), "s", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{},
		Settings: settings(func(s *esdb.PersistentSubscriptionSettings) {
			s.MaxRetryCount, s.ConsumerStrategyName, s.MaxSubscriberCount = 3, esdb.ConsumerStrategyPinned, 1
		})})
	if err != nil {
		t.Fatal(err)
	}
	dropped("update", r)
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Settings.MaxRetryCount == 3 && i.Settings.ConsumerStrategyName == esdb.ConsumerStrategyPinned && checkpointed(0)(i)
	})
	r = read()
	if m, err := r.Recv(); err != nil || m.GetEvent().GetEvent().GetStreamRevision() != 1 {
		t.Errorf("after the update: %v %v", m, err)
	}
	_, err = c.SubscribeToPersistentSubscription(within(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err == nil || !strings.Contains(err.Error(), "Maximum subscriptions") {
		t.Errorf("a second consumer: %v", err)
	}
	if err := c.RestartPersistentSubscriptionSubsystem(within(t), esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	dropped("restart", r)
	r = read()
	if err := c.DeletePersistentSubscription(within(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	dropped("delete", r)
	_, err = c.SubscribeToPersistentSubscription(within(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("deleted: %v", err)
	}
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	expect(t, subscribe(t, c, "s", "g", 1), "s/0") // nothing of the old one is left
}

func TestGroupOfAllWithFilter(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "a-1", esdb.NoStream{}, 0)
	write(t, c, "b-1", esdb.NoStream{}, 1)
	at := write(t, c, "a-2", esdb.NoStream{}, 2)
	createAll := func(group string, from esdb.AllPosition, f *esdb.SubscriptionFilter) {
		t.Helper()
		err := c.CreatePersistentSubscriptionToAll(within(t), group, esdb.PersistentAllSubscriptionOptions{StartFrom: from, Filter: f, Settings: settings(always)})
		if err != nil {
			t.Fatal(err)
		}
	}
	createAll("prefix", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"a-"}})
	createAll("regex", esdb.Position{Commit: at.CommitPosition, Prepare: at.PreparePosition}, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^type-"})
	createAll("end", esdb.End{}, nil)
	prefix, regex, end := subscribeAll(t, c, "prefix", 9), subscribeAll(t, c, "regex", 9), subscribeAll(t, c, "end", 9)
	ack(t, prefix, expect(t, prefix, "a-1/0", "a-2/0")...)
	expect(t, regex, "a-2/0") // the position is inclusive
	later := write(t, c, "b-2", esdb.NoStream{}, 3)
	expect(t, regex, "b-2/0")
	m := expect(t, end, "b-2/0")
	if m[0].Commit == nil || *m[0].Commit != later.CommitPosition {
		t.Errorf("%+v", m[0])
	}
	// What was looked at and not wanted moves the checkpoint, too: b-2 is none of "prefix".
	until(t, c, "$all", "prefix", func(i *esdb.PersistentSubscriptionInfo) bool {
		p := i.Stats.LastCheckpointedPosition
		return p != nil && p.Commit >= later.CommitPosition
	})
	// Its own checkpoints and parked messages feed no group of $all.
	nack(t, end, esdb.NackActionPark, m...)
	until(t, c, "$all", "end", parkedCount(1))
	last := write(t, c, "b-3", esdb.NoStream{}, 4)
	expect(t, end, "b-3/0")
	all, err := c.ListPersistentSubscriptionsToAll(within(t), esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(all) != 3 || all[0].Settings.StartFrom != (esdb.End{}) {
		t.Errorf("%+v %v", all, err)
	}
	until(t, c, "$all", "prefix", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Stats.LastKnownPosition.Commit >= last.CommitPosition
	})
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

func TestLinksAreAckedByTheLinksID(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0, 1)
	link := func(to string) {
		t.Helper()
		_, err := c.AppendToStream(within(t), "links", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(to)})
		if err != nil {
			t.Fatal(err)
		}
	}
	link("1@s")
	link("7@nowhere")
	link("0@s")
	createGroup(t, c, "links", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true; always(s) }))
	s := subscribe(t, c, "links", "g", 3)
	m := expect(t, s, "links/0", "links/1", "links/2")
	if m[0].Event == nil || m[0].Event.StreamID != "s" || m[0].Event.EventNumber != 1 || m[1].Event != nil || m[2].Event.EventNumber != 0 {
		t.Fatalf("%+v", m)
	}
	nack(t, s, esdb.NackActionPark, m[0])
	ack(t, s, m[1], m[2])
	until(t, c, "links", "g", checkpointed(2))
	r, err := c.ReadStream(within(t), "$persistentsubscription-links::g-parked", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, r, err)); got != "[0:1@s]" {
		t.Error(got)
	}
}

func TestATombstoneEndsTheGroup(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0)
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	s := subscribe(t, c, "s", "g", 3)
	expect(t, s, "s/0")
	if _, err := c.TombstoneStream(within(t), "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e := s.Recv()
		if e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != codes.FailedPrecondition {
			t.Fatalf("%+v", e)
		}
		s = subscribe(t, c, "s", "g", 3)
	}
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

// "a" with the group "b::c" and "a::b" with "c" would keep their checkpoints and parked messages in the same streams.
func TestTwoGroupsNeverShareTheirStreams(t *testing.T) {
	c := connect(t, servertest.Start(t))
	createGroup(t, c, "a", "b::c", esdb.Start{}, settings(nil))
	err := c.CreatePersistentSubscription(within(t), "a::b", "c", esdb.PersistentStreamSubscriptionOptions{Settings: settings(nil)})
	if codeOf(err) != esdb.ErrorCodeResourceAlreadyExists {
		t.Errorf("another group of the same name: %v", err)
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
