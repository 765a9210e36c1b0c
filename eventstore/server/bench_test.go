package server_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// BenchmarkCatchUp reads the whole log through the official client, from our server and from one that sends the same messages ready-made.
func BenchmarkCatchUp(b *testing.B) {
	c := connect(b, servertest.Start(b))
	bare, bareClient := startBare(b)
	const total = 100_000
	for n := range total / 1000 {
		stream := fmt.Sprintf("order-%d", n)
		var events []esdb.EventData
		for range 1000 {
			events = append(events, payload())
			bare.messages = append(bare.messages, bareMessage(uint64(len(bare.messages)+1), stream, events[len(events)-1]))
		}
		if _, err := c.AppendToStream(context.Background(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	inTurns(b, func() measured { return catchUp(b, bareClient, total) }, func() measured { return catchUp(b, c, total) })
}

func catchUp(b *testing.B, c *esdb.Client, total int) measured {
	return measure(func() int {
		s, err := c.SubscribeToAll(context.Background(), esdb.SubscribeToAllOptions{From: esdb.Start{}})
		if err != nil {
			b.Fatal(err)
		}
		receive(b, s, total)
		return total
	})
}

// receive takes so many events from a subscription, and closes it.
func receive(b *testing.B, s *esdb.Subscription, total int) {
	b.Helper()
	defer s.Close()
	for n := 0; n < total; {
		if e := s.Recv(); e.EventAppeared != nil {
			n++
		} else if e.SubscriptionDropped != nil {
			b.Fatal(e.SubscriptionDropped.Error)
		}
	}
}

// BenchmarkAppend appends one event at a time through the official client, 64 at once, to our server and to one that does nothing but the
// same durable write: to a stream for each writer, and to a new stream each time.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"hot", "new"} {
		b.Run(kind+"/writers=64", func(b *testing.B) {
			c := connect(b, servertest.Start(b))
			_, bareClient := startBare(b)
			write := func(c *esdb.Client) func(int) error {
				return func(w int) error {
					stream, expected := fmt.Sprintf("order-%d", w), esdb.ExpectedRevision(esdb.Any{})
					if kind == "new" {
						stream, expected = "order-"+uuid.NewString(), esdb.NoStream{}
					}
					_, err := c.AppendToStream(context.Background(), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, payload())
					return err
				}
			}
			b.ResetTimer()
			inTurns(b, func() measured { return perSecond(b, 64, write(bareClient)) }, func() measured { return perSecond(b, 64, write(c)) })
		})
	}
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
