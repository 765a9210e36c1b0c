package server_test

import (
	"context"
	"fmt"
	"slices"
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

// BenchmarkLinks reads the links of a category through the official client, as they are and resolved, beside a read of the whole log in
// the same run: events per second.
func BenchmarkLinks(b *testing.B) {
	c := connect(b, servertest.Start(b))
	const total = 50_000
	for n := range total / 1000 {
		var events []esdb.EventData
		for range 1000 {
			events = append(events, payload())
		}
		if _, err := c.AppendToStream(context.Background(), fmt.Sprintf("order-%d", n), esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, events...); err != nil {
			b.Fatal(err)
		}
	}
	untilLinks(b, c, "$ce-order", total)
	timed := func(s *esdb.ReadStream, err error) float64 {
		begun := time.Now()
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		for range total {
			if _, err := s.Recv(); err != nil {
				b.Fatal(err)
			}
		}
		return total / time.Since(begun).Seconds()
	}
	var all, links, resolved []float64
	for range 5 {
		s, err := c.ReadAll(context.Background(), esdb.ReadAllOptions{From: esdb.Start{}}, total)
		all = append(all, timed(s, err))
		s, err = c.ReadStream(context.Background(), "$ce-order", esdb.ReadStreamOptions{From: esdb.Start{}}, total)
		links = append(links, timed(s, err))
		s, err = c.ReadStream(context.Background(), "$ce-order", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, total)
		resolved = append(resolved, timed(s, err))
	}
	for name, rates := range map[string][]float64{"all/s": all, "links/s": links, "resolved/s": resolved} {
		slices.Sort(rates)
		b.ReportMetric(rates[len(rates)/2], name)
	}
	b.ReportMetric(0, "ns/op")
}
