package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// createByName creates a group of $all with a strategy that the Go client has no number for.
func createByName(t testing.TB, url, strategy, prefix string) {
	t.Helper()
	s := plainSettings()
	s.ConsumerStrategy = strategy
	_, err := persistent.NewPersistentSubscriptionsClient(dial(t, url)).Create(within(t), &persistent.CreateReq{Options: &persistent.CreateReq_Options{
		GroupName: strategy, Settings: s, StreamOption: &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
			AllOption: &persistent.CreateReq_AllOptions_Start{Start: &shared.Empty{}},
			FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{
				Filter: &persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier{
					StreamIdentifier: &persistent.CreateReq_AllOptions_FilterOptions_Expression{Prefix: []string{prefix}}}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
}

// bare is a consumer that sends what it likes.
type bare struct {
	persistent.PersistentSubscriptions_ReadClient
	t testing.TB
}

func readBare(t testing.TB, url string) bare {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a hundred thousand ids take their time on a busy machine
	t.Cleanup(cancel)
	r, err := persistent.NewPersistentSubscriptionsClient(dial(t, url)).Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return bare{r, t}
}

func (b bare) options(stream, group string, size int32) bare {
	b.t.Helper()
	b.send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{GroupName: group, BufferSize: size,
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}}}}})
	return b
}

func (b bare) send(m *persistent.ReadReq) {
	b.t.Helper()
	if err := b.Send(m); err != nil && !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
}

// ends receives until the call ends, and compares the code.
func (b bare) ends(what string, code codes.Code) {
	b.t.Helper()
	var err error
	for err == nil {
		_, err = b.Recv()
	}
	if status.Code(err) != code {
		b.t.Errorf("%s: %v, want %v", what, err, code)
	}
}

func textIDs(n int) (ids []*shared.UUID) {
	for i := range n {
		ids = append(ids, &shared.UUID{Value: &shared.UUID_String_{String_: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}})
	}
	return ids
}

func ackOf(ids ...*shared.UUID) *persistent.ReadReq {
	return &persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: ids}}}
}

func nackOf(action int32, reason string, ids ...*shared.UUID) *persistent.ReadReq {
	return &persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Action: persistent.ReadReq_Nack_Action(action), Reason: reason, Ids: ids}}}
}

func TestHostileConsumers(t *testing.T) {
	url := servertest.Start(t)
	c := connect(t, url)
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(nil))
	readBare(t, url).options("s", "g", 0).ends("buffer 0", codes.InvalidArgument)
	readBare(t, url).options("s", "g", -5).ends("buffer -5", codes.InvalidArgument)
	readBare(t, url).options("", "", 1).ends("no names", codes.InvalidArgument)
	readBare(t, url).options(strings.Repeat("x", 8<<20), strings.Repeat("y", 4<<20), 1).ends("endless names", codes.InvalidArgument)
	b := readBare(t, url)
	b.send(ackOf())
	b.ends("no options first", codes.InvalidArgument)
	b = readBare(t, url)
	if err := b.CloseSend(); err != nil {
		t.Fatal(err)
	}
	b.ends("nothing at all", codes.InvalidArgument)
	readBare(t, url).options("s", "g", 1).options("s", "g", 1).ends("options twice", codes.InvalidArgument)
	b = readBare(t, url).options("s", "g", 1)
	b.send(ackOf(&shared.UUID{}))
	b.ends("an id that is none", codes.InvalidArgument)

	// Ids of nobody, a hundred thousand at once and each for itself, actions that don't exist, reasons without end.
	greedy := readBare(t, url).options("s", "g", 1<<31-1)
	greedy.send(ackOf(textIDs(100_000)...))
	greedy.send(nackOf(1, "", textIDs(100_000)...))
	for _, id := range textIDs(500) {
		greedy.send(ackOf(id))
	}
	greedy.send(ackOf(&shared.UUID{Value: &shared.UUID_String_{String_: "no id"}}))
	m, err := greedy.Recv()
	if err != nil || m.GetSubscriptionConfirmation() == nil {
		t.Fatal(m, err)
	}
	var mine []*shared.UUID
	before := int32(-1) // consumers that left had it, too
	for range 3 {
		m, err := greedy.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if _, set := m.GetEvent().GetCount().(*persistent.ReadResp_ReadEvent_RetryCount); !set {
			t.Error("retry_count is not set")
		}
		if before < 0 {
			before = m.GetEvent().GetRetryCount()
		}
		mine = append(mine, m.GetEvent().GetEvent().GetId())
	}
	greedy.send(nackOf(99, "", mine[0])) // an action nobody knows is a retry
	if m, err := greedy.Recv(); err != nil || m.GetEvent().GetRetryCount() != before+1 {
		t.Fatal(m, err)
	}
	greedy.send(nackOf(1, strings.Repeat("ü", 1<<20), mine[1]))
	until(t, c, "s", "g", parkedCount(1))
	greedy.send(ackOf(mine[0], mine[0], mine[2]))
	if err := greedy.CloseSend(); err != nil { // and still listens
		t.Fatal(err)
	}
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.TotalInFlightMessages == 0 })
	write(t, c, "s", esdb.StreamExists{}, 3)
	if m, err := greedy.Recv(); err != nil || m.GetEvent().GetEvent().GetStreamRevision() != 3 {
		t.Fatal(m, err)
	}
}

// TestGarbageInTheGroupsOwnStreams: without TLS anybody may write there.
func TestGarbageInTheGroupsOwnStreams(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := connect(t, store.URL)
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(always))
	s := subscribe(t, c, "s", "g", 2)
	m := expect(t, s, "s/0", "s/1")
	ack(t, s, m[0])
	nack(t, s, esdb.NackActionPark, m[1])
	until(t, c, "s", "g", checkpointed(1))
	for _, stream := range []string{"$persistentSubscriptionConfig", "$persistentsubscription-s::g-checkpoint", "$persistentsubscription-s::g-parked"} {
		for kind, data := range map[string]string{"$PersistentGroupSet": `{"stream":"s","group":"g"}`, "$PersistentGroupDeleted": "x", "$>": "nonsense", "$other": "{}"} {
			_, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{}, esdb.EventData{EventType: kind, ContentType: esdb.ContentTypeBinary, Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	store.Restart()
	c = connect(t, store.URL)
	s = subscribe(t, c, "s", "g", 9)
	got := expect(t, s, "s/0", "s/1", "s/2") // only two of a checkpoint stream are read, and both are garbage: from the start again
	ack(t, s, got...)
	if err := c.ReplayParkedMessages(within(t), "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	back := next(t, s)
	if back.Event.Event == nil || back.Event.Event.EventNumber != 1 {
		t.Errorf("%+v", back.Event)
	}
	ack(t, s, back.Event)
	until(t, c, "s", "g", parkedCount(0))
}

func TestThousandsOfIdleGroupsCostLittle(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := connect(t, store.URL)
	const many = 300 // by hand with more: see the benchmark
	for n := range many {
		createGroup(t, c, "s", fmt.Sprintf("g%d", n), esdb.Start{}, nil)
	}
	store.Restart()
	c = connect(t, store.URL)
	all, err := c.ListPersistentSubscriptionsForStream(within(t), "s", esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(all) != many {
		t.Fatal(len(all), err)
	}
	write(t, c, "s", esdb.NoStream{}, 0)
	expect(t, subscribe(t, c, "s", "g7", 1), "s/0")
}
