package server_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

const benchStream = "bench-1"

// fill appends events of 500 bytes to one stream.
func fill(b *testing.B, c *esdb.Client, total int) {
	b.Helper()
	for n := 0; n < total; n += 1000 {
		var events []esdb.EventData
		for range 1000 {
			events = append(events, payload())
		}
		if _, err := c.AppendToStream(context.Background(), benchStream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroup receives and acknowledges every event of a stream as the only consumer of a group, and for comparison reads the
// same events with a catch-up subscription, in turns: deliveries a second of each, and their ratio.
func BenchmarkGroup(b *testing.B) {
	c := connect(b, servertest.Start(b))
	const total = 50_000
	fill(b, c, total)
	var group, catchUp time.Duration
	n := 0
	for b.Loop() {
		begun := time.Now()
		readAlong(b, c, total)
		catchUp += time.Since(begun)
		name := fmt.Sprintf("g%d", n)
		n++
		createGroup(b, c, benchStream, name, esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ReadBatchSize = 200 }))
		begun = time.Now()
		consume(b, c, name, total)
		group += time.Since(begun)
	}
	b.ReportMetric(float64(total*n)/group.Seconds(), "acked/s")
	b.ReportMetric(float64(total*n)/catchUp.Seconds(), "catch-up/s")
	b.ReportMetric(catchUp.Seconds()/group.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op")
}

func readAlong(b *testing.B, c *esdb.Client, total int) {
	b.Helper()
	s, err := c.SubscribeToStream(context.Background(), benchStream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		b.Fatal(err)
	}
	receive(b, s, total)
}

// consume acknowledges in batches of 50, as a program would that commits what it does.
func consume(b *testing.B, c *esdb.Client, group string, total int) {
	b.Helper()
	s, err := c.SubscribeToPersistentSubscription(context.Background(), benchStream, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 500})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var batch []*esdb.ResolvedEvent
	for n := range total {
		e := s.Recv()
		if e.EventAppeared == nil {
			b.Fatal(e.SubscriptionDropped.Error)
		}
		if batch = append(batch, e.EventAppeared.Event); len(batch) == 50 || n == total-1 {
			if err := s.Ack(batch...); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

// BenchmarkIdleGroups tells what a group costs that nobody uses, and one that is waited for: bytes of heap and goroutines a group.
func BenchmarkIdleGroups(b *testing.B) {
	store := servertest.StartAt(b, b.TempDir(), "127.0.0.1:0")
	c := connect(b, store.URL)
	const many = 2000
	for n := range many {
		createGroup(b, c, "idle", fmt.Sprintf("g%d", n), esdb.Start{}, nil)
	}
	measure := func() (heap uint64, goroutines int) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
	}
	before, _ := measure()
	for b.Loop() {
		all, err := c.ListPersistentSubscriptionsForStream(within(b), "idle", esdb.ListPersistentSubscriptionsOptions{})
		if err != nil || len(all) != many {
			b.Fatal(len(all), err)
		}
	}
	after, goroutines := measure()
	b.ReportMetric((float64(after)-float64(before))/many, "B/group")
	b.ReportMetric(float64(goroutines)/many, "goroutines/group")
}
