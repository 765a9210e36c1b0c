package server_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

func createGroupOfAll(t testing.TB, c *esdb.Client, group, prefix string, change func(*esdb.PersistentSubscriptionSettings)) {
	t.Helper()
	err := c.CreatePersistentSubscriptionToAll(within(t), group, esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Settings: settings(change), Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{prefix}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRoundRobinAndDispatchToSingleShareDifferently counts what two consumers get who answer nothing.
func TestRoundRobinAndDispatchToSingleShareDifferently(t *testing.T) {
	c := connect(t, servertest.Start(t))
	for strategy, want := range map[esdb.ConsumerStrategy]string{
		esdb.ConsumerStrategyRoundRobin:       "a: 0 2; b: 1 3",
		esdb.ConsumerStrategyDispatchToSingle: "a: 0 1 2; b: 3",
	} {
		stream := string(strategy)
		createGroup(t, c, stream, "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = strategy }))
		a := subscribe(t, c, stream, "g", 3)
		b := subscribe(t, c, stream, "g", 3)
		write(t, c, stream, esdb.NoStream{}, 0, 1, 2, 3)
		got := map[*esdb.PersistentSubscription]string{}
		counts := map[*esdb.PersistentSubscription]int{a: 2, b: 2}
		if strategy == esdb.ConsumerStrategyDispatchToSingle {
			counts = map[*esdb.PersistentSubscription]int{a: 3, b: 1}
		}
		for s, n := range counts {
			for range n {
				got[s] += fmt.Sprintf(" %d", next(t, s).Event.OriginalEvent().EventNumber)
			}
		}
		if text := "a:" + got[a] + "; b:" + got[b]; text != want {
			t.Errorf("%s: %s, want %s", strategy, text, want)
		}
	}
}

// TestPinnedStrategiesKeepWhatBelongsTogether lets three consumers take 20 streams of 30 events at once.
func TestPinnedStrategiesKeepWhatBelongsTogether(t *testing.T) {
	const streams, each = 20, 30
	url := servertest.Start(t)
	c := connect(t, url)
	for n := range each {
		for s := range streams {
			e := numbered(n*streams + s)
			e.Metadata = fmt.Appendf(nil, `{"$correlationId":"c%d"}`, s%5)
			if _, err := c.AppendToStream(within(t), fmt.Sprintf("p-%d", s), esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	for strategy, key := range map[esdb.ConsumerStrategy]func(*esdb.RecordedEvent) string{
		esdb.ConsumerStrategyPinned: func(e *esdb.RecordedEvent) string { return e.StreamID },
		"PinnedByCorrelation":       func(e *esdb.RecordedEvent) string { return string(e.UserMetadata) },
	} {
		// The Go client can't ask for PinnedByCorrelation: it knows three strategies.
		if strategy == esdb.ConsumerStrategyPinned {
			createGroupOfAll(t, c, string(strategy), "p-", func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = strategy })
		} else {
			createByName(t, url, string(strategy), "p-")
		}
		consumers := []*esdb.PersistentSubscription{subscribeAll(t, c, string(strategy), 4), subscribeAll(t, c, string(strategy), 4), subscribeAll(t, c, string(strategy), 4)}
		var mu sync.Mutex
		owner, last, total, busy := map[string]int{}, map[string]int{}, 0, map[int]bool{}
		finished := make(chan struct{})
		for i, s := range consumers {
			go func() {
				for {
					e := s.Recv()
					if e.EventAppeared == nil {
						return // closed with the test
					}
					mu.Lock()
					if total == streams*each { // the consumers leave one by one, and what one had not yet answered goes to the next
						mu.Unlock()
						return
					}
					r := e.EventAppeared.Event.OriginalEvent()
					k := key(r)
					if who, seen := owner[k]; seen && who != i {
						t.Errorf("%s: %s was at %d, is at %d", strategy, k, who, i)
					}
					if revision, seen := last[r.StreamID]; seen && int(r.EventNumber) != revision+1 {
						t.Errorf("%s: %s: %d after %d", strategy, r.StreamID, r.EventNumber, revision)
					}
					owner[k], last[r.StreamID], busy[i] = i, int(r.EventNumber), true
					total++
					// Under the lock: the client can't answer while another goroutine closes it.
					err := s.Ack(e.EventAppeared.Event)
					if total == streams*each {
						close(finished)
					}
					mu.Unlock()
					if err != nil {
						return
					}
				}
			}()
		}
		select {
		case <-finished:
		case <-within(t).Done():
			t.Fatalf("%s: not in time", strategy)
		}
		if len(busy) < 2 {
			t.Errorf("%s: one consumer did it all", strategy)
		}
		for _, s := range consumers {
			_ = s.Close()
		}
	}
}

// TestUnansweredMessagesGoToOthers: one consumer doesn't answer, then one doesn't even read.
func TestUnansweredMessagesGoToOthers(t *testing.T) {
	c := connect(t, servertest.Start(t))
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 300, 1000 }))
	silent := subscribe(t, c, "s", "g", 1)
	write(t, c, "s", esdb.NoStream{}, 0, 1)
	expect(t, silent, "s/0", "s/0+1")
	good := subscribe(t, c, "s", "g", 1)
	seen := map[uint64]bool{}
	for len(seen) < 2 {
		e := next(t, good)
		seen[e.Event.OriginalEvent().EventNumber] = true
		ack(t, good, e.Event)
	}
	// The first consumer now reads nothing at all, and 60 events of 200 kB are more than its connection takes.
	for n := range 60 {
		e := esdb.EventData{EventID: uuid.New(), EventType: "big", ContentType: esdb.ContentTypeBinary, Data: bytes.Repeat([]byte{byte(n)}, 200_000)}
		if _, err := c.AppendToStream(within(t), "s", esdb.AppendToStreamOptions{}, e); err != nil {
			t.Fatal(err)
		}
	}
	deaf := subscribe(t, c, "s", "g", 1000)
	_ = silent.Close()
	begun := time.Now()
	for len(seen) < 62 {
		e := next(t, good)
		if r := e.Event.OriginalEvent(); r.EventNumber >= 2 && (len(r.Data) != 200_000 || r.Data[7] != byte(r.EventNumber-2)) {
			t.Fatalf("event %d has other data", r.EventNumber)
		}
		seen[e.Event.OriginalEvent().EventNumber] = true
		ack(t, good, e.Event)
		if time.Since(begun) > time.Minute {
			t.Fatal("not in time")
		}
	}
	_ = deaf.Close()
}

func TestRetriesEndInTheParkedStream(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 1, 1 }))
	s := subscribe(t, c, "s", "g", 1)
	expect(t, s, "s/0", "s/0+1")
	until(t, c, "s", "g", parkedCount(1))
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	r, err := c.ReadStream(ctx, "$persistentsubscription-s::g-parked", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := r.Recv()
	if err != nil || e.Event == nil || e.Event.StreamID != "s" || !bytes.Contains(e.Link.UserMetadata, []byte(`"subscriptionEventNumber":0`)) || !bytes.Contains(e.Link.UserMetadata, []byte("in time")) {
		t.Fatalf("%+v %v", e, err)
	}
}
