package server_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
