package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// dial returns a bare connection, for what the official client can't or won't send.
func dial(t testing.TB, url string) *grpc.ClientConn {
	t.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "esdb://"), "?")
	c, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDeletedStreams(t *testing.T) {
	c := connect(t, servertest.Start(t))
	ctx := within(t)
	write(t, c, "a", esdb.NoStream{}, 0, 1)
	readOne := func(stream string) error {
		s, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Recv()
		return err
	}
	if _, err := c.DeleteStream(ctx, "a", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(0)}); err == nil {
		t.Error("deleted at a wrong revision")
	}
	if d, err := c.DeleteStream(ctx, "a", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)}); err != nil || d.Position.Commit == 0 {
		t.Fatal(d, err)
	}
	if err := readOne("a"); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("softly deleted: %v", err)
	}
	if r := write(t, c, "a", esdb.NoStream{}, 2); r.NextExpectedVersion != 2 {
		t.Errorf("recreated: %+v", r)
	}
	s, err := c.ReadStream(ctx, "a", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, s, err)); got != `[2:{"n":2}]` {
		t.Errorf("recreated: %s", got)
	}
	if _, err := c.TombstoneStream(ctx, "a", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if err := readOne("a"); codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("tombstoned: %v", err)
	}
	_, err = c.AppendToStream(ctx, "a", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(3))
	if codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("tombstoned: %v", err)
	}
	all, err := c.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	if got := drain(t, all, err); len(got) != 6 { // 3 events, 2 metadata events, the tombstone
		t.Errorf("the log shows %v", got)
	}
}

func TestMetadataLimitsWhatIsRead(t *testing.T) {
	c := connect(t, servertest.Start(t))
	ctx := within(t)
	write(t, c, "a", esdb.NoStream{}, 0, 1, 2, 3)
	var m esdb.StreamMetadata
	m.SetMaxCount(2)
	if _, err := c.SetStreamMetadata(ctx, "a", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, m); err != nil {
		t.Fatal(err)
	}
	s, err := c.ReadStream(ctx, "a", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, s, err)); got != `[2:{"n":2} 3:{"n":3}]` {
		t.Error(got)
	}
	back, err := c.GetStreamMetadata(ctx, "a", esdb.ReadStreamOptions{})
	if err != nil || back.MaxCount() == nil || *back.MaxCount() != 2 {
		t.Errorf("%+v %v", back, err)
	}
}

func TestFilterTakesLookAround(t *testing.T) {
	c := connect(t, servertest.Start(t))
	ctx := within(t)
	for n := range 9 {
		write(t, c, fmt.Sprintf("s-%d", n), esdb.NoStream{}, n)
	}
	sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}, MaxSearchWindow: 2, CheckpointInterval: 2,
		Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^(?!type-[01])`}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var got []string
	for len(got) < 6 {
		switch e := sub.Recv(); {
		case e.EventAppeared != nil:
			got = append(got, fmt.Sprint("event ", e.EventAppeared.OriginalEvent().Position.Commit))
		case e.CheckPointReached != nil:
			got = append(got, fmt.Sprint("checkpoint ", e.CheckPointReached.Commit))
		case e.CaughtUp != nil:
			got = append(got, "caught up")
		default:
			t.Fatalf("%+v", e)
		}
	}
	if want := "[event 3 checkpoint 4 event 6 checkpoint 8 event 9 caught up]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	resumed, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Position{Commit: 4, Prepare: 4},
		Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^(?!type-[01])`}})
	if err != nil {
		t.Fatal(err)
	}
	defer resumed.Close()
	if e := resumed.Recv(); e.EventAppeared == nil || e.EventAppeared.OriginalEvent().Position.Commit != 6 {
		t.Errorf("after a checkpoint: %+v", e)
	}
}

func TestAppendsBeyondTheLimits(t *testing.T) {
	c := streams.NewStreamsClient(dial(t, servertest.Start(t)))
	ctx := within(t)
	try := func(stream string, messages ...*streams.AppendReq_ProposedMessage) (*streams.AppendResp, metadata.MD, error) {
		in, err := c.Append(ctx)
		if err != nil {
			t.Fatal(err)
		}
		send := func(m *streams.AppendReq) {
			if err := in.Send(m); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
			StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
			ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}}}}})
		for _, m := range messages {
			send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}})
		}
		resp, err := in.CloseAndRecv()
		return resp, in.Trailer(), err
	}
	message := func(size int) *streams.AppendReq_ProposedMessage {
		return &streams.AppendReq_ProposedMessage{
			Id:       &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
			Metadata: map[string]string{"type": "t", "content-type": "application/json"}, Data: make([]byte, size)}
	}
	bare := message(1)
	bare.Metadata = map[string]string{"type": "t"}
	nameless := message(1)
	nameless.Id = nil
	cases := []struct {
		name, stream string
		messages     []*streams.AppendReq_ProposedMessage
		code         codes.Code
		exception    string
	}{
		{"too large", "s", []*streams.AppendReq_ProposedMessage{message(600 << 10), message(600 << 10)}, codes.InvalidArgument, "maximum-append-size-exceeded"},
		{"no content type", "s", []*streams.AppendReq_ProposedMessage{bare}, codes.InvalidArgument, "missing-required-metadata-property"},
		{"no id", "s", []*streams.AppendReq_ProposedMessage{nameless}, codes.InvalidArgument, ""},
		{"no stream", "", []*streams.AppendReq_ProposedMessage{message(1)}, codes.InvalidArgument, ""},
		{"enormous name", strings.Repeat("x", 5000), []*streams.AppendReq_ProposedMessage{message(1)}, codes.InvalidArgument, ""},
		{"not UTF-8", "s\xff", []*streams.AppendReq_ProposedMessage{message(1)}, codes.InvalidArgument, ""},
		{"the log", "$all", []*streams.AppendReq_ProposedMessage{message(1)}, codes.PermissionDenied, "access-denied"},
	}
	for _, x := range cases {
		_, trailer, err := try(x.stream, x.messages...)
		if status.Code(err) != x.code || strings.Join(trailer.Get("exception"), "") != x.exception {
			t.Errorf("%s: %v, trailers %v", x.name, err, trailer)
		}
	}
	resp, _, err := try("s")
	if err != nil || resp.GetSuccess().GetNoStream() == nil || resp.GetSuccess().GetNoPosition() == nil {
		t.Errorf("an empty append: %v %v", resp, err)
	}
}

func TestReadsThatMakeNoSense(t *testing.T) {
	c := streams.NewStreamsClient(dial(t, servertest.Start(t)))
	structured := &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}}
	all := &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}}
	subscription := &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	count := &streams.ReadReq_Options_Count{Count: math.MaxUint64}
	regex := func(x string) *streams.ReadReq_Options_Filter {
		return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{CheckpointIntervalMultiplier: 1,
			Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: x}}}}
	}
	for name, o := range map[string]*streams.ReadReq_Options{
		"nothing":                nil,
		"no uuid option":         {StreamOption: all, CountOption: count},
		"no count":               {StreamOption: all, UuidOption: structured},
		"no source":              {CountOption: count, UuidOption: structured},
		"subscription backwards": {StreamOption: all, CountOption: subscription, UuidOption: structured, ReadDirection: streams.ReadReq_Options_Backwards},
		"a direction of no kind": {StreamOption: all, CountOption: count, UuidOption: structured, ReadDirection: 7},
		"malformed regex":        {StreamOption: all, CountOption: count, UuidOption: structured, FilterOption: regex("(")},
		"empty filter":           {StreamOption: all, CountOption: count, UuidOption: structured, FilterOption: regex("")},
		"unnamed stream": {CountOption: count, UuidOption: structured, StreamOption: &streams.ReadReq_Options_Stream{
			Stream: &streams.ReadReq_Options_StreamOptions{RevisionOption: &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}}}},
	} {
		r, err := c.Read(within(t), &streams.ReadReq{Options: o})
		if err == nil {
			_, err = r.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBatchAppendKeepsOrderAndAnswersEach(t *testing.T) {
	url := servertest.Start(t)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	b, err := streams.NewStreamsClient(dial(t, url)).BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	ids := map[string]int{}
	send := func(i int, x any) {
		id := uuid.NewString()
		ids[id] = i
		o := &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}}
		switch x := x.(type) {
		case int:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(x)}
		default:
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
		}
		correlation := &shared.UUID{Value: &shared.UUID_String_{String_: id}}
		if err := b.Send(&streams.BatchAppendReq{CorrelationId: correlation, Options: o}); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(&streams.BatchAppendReq{CorrelationId: correlation, IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{
			Id:       &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
			Metadata: map[string]string{"type": "t", "content-type": "application/json"}, Data: []byte("{}")}}}); err != nil {
			t.Fatal(err)
		}
	}
	send(0, nil)
	for i := 1; i < n; i++ {
		send(i, i-1) // sent before the one before is answered: only their order makes it right
	}
	send(-1, nil)
	for range n + 1 {
		m, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		i, ok := ids[m.GetCorrelationId().GetString_()]
		if !ok || string(m.GetStreamIdentifier().GetStreamName()) != "s" {
			t.Fatalf("an answer nobody waits for: %v", m)
		}
		if i < 0 {
			if codes.Code(m.GetError().GetCode()) != codes.AlreadyExists || len(m.GetError().GetDetails()) != 1 {
				t.Errorf("a wrong revision: %v", m)
			}
			continue
		}
		if m.GetSuccess().GetCurrentRevision() != uint64(i) || m.GetSuccess().GetPosition().GetCommitPosition() != uint64(i+1) {
			t.Errorf("append %d: %v", i, m)
		}
	}
	if err := b.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestWhatIsLeftOutSaysSo(t *testing.T) {
	conn := dial(t, servertest.Start(t))
	_, err := projections.NewProjectionsClient(conn).Reset(within(t), &projections.ResetReq{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "fold") {
		t.Error(err)
	}
}

func TestGossipNamesTheAddressThatWasReached(t *testing.T) {
	url := servertest.Start(t)
	conn := dial(t, url)
	info, err := gossip.NewGossipClient(conn).Read(within(t), &shared.Empty{})
	if err != nil || len(info.Members) != 1 {
		t.Fatal(info, err)
	}
	m := info.Members[0]
	if got := fmt.Sprintf("%s:%d", m.HttpEndPoint.Address, m.HttpEndPoint.Port); got != conn.Target() || m.State != gossip.MemberInfo_Leader || !m.IsAlive {
		t.Errorf("%v, reached as %s", m, conn.Target())
	}
	c := connect(t, strings.Replace(url, "esdb://", "esdb+discover://", 1))
	write(t, c, "s", esdb.NoStream{}, 0)
}
