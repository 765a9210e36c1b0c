package server_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

func payload() esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "order.placed.v1", ContentType: esdb.ContentTypeJson, Data: make([]byte, 500)}
}

// BenchmarkCatchUp reads the whole log through the official client: events per second.
func BenchmarkCatchUp(b *testing.B) {
	c := connect(b, servertest.Start(b))
	const total = 100_000
	for n := range total / 1000 {
		var events []esdb.EventData
		for range 1000 {
			events = append(events, payload())
		}
		if _, err := c.AppendToStream(context.Background(), fmt.Sprintf("order-%d", n), esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		s, err := c.SubscribeToAll(context.Background(), esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < total; {
			if e := s.Recv(); e.EventAppeared != nil {
				n++
			} else if e.SubscriptionDropped != nil {
				b.Fatal(e.SubscriptionDropped.Error)
			}
		}
		_ = s.Close()
	}
	b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkAppend appends one event at a time through the official client, 64 at once: events per second.
func BenchmarkAppend(b *testing.B) {
	c := connect(b, servertest.Start(b))
	var done atomic.Int64
	const span = 2 * time.Second
	for b.Loop() {
		var wg sync.WaitGroup
		begun := time.Now()
		for w := range 64 {
			wg.Go(func() {
				for time.Since(begun) < span {
					if _, err := c.AppendToStream(context.Background(), fmt.Sprintf("order-%d", w), esdb.AppendToStreamOptions{}, payload()); err != nil {
						b.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(done.Load())/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
