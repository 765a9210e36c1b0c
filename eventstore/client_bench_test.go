package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

func benchEvents(n int) []eventstore.Event {
	data := fmt.Appendf(nil, `{"pad":"%0480d"}`, 0)
	list := make([]eventstore.Event, n)
	for i := range list {
		list[i] = eventstore.Event{ID: uuid.New(), Type: "bench.happened.v1", Data: data, Metadata: []byte(`{}`)}
	}
	return list
}

// BenchmarkAppend compares one BatchAppend stream for all with a call for each append.
func BenchmarkAppend(b *testing.B) {
	for _, plain := range []bool{false, true} {
		for _, writers := range []int{2, 8, 64} {
			name := fmt.Sprintf("batch/%d", writers)
			if plain {
				name = fmt.Sprintf("plain/%d", writers)
			}
			b.Run(name, func(b *testing.B) {
				c := dial(b, servertest.Start(b), eventstore.Config{PlainAppend: plain})
				b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := c.Append(context.Background(), eventstore.Order.Stream(uuid.NewString()), eventstore.NoStream, benchEvents(1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkReadAll reads 100,000 events of 500 bytes, through our client and through the bare official one.
func BenchmarkReadAll(b *testing.B) {
	url := servertest.Start(b)
	c := dial(b, url, eventstore.Config{})
	const total = 100_000
	for range total / 500 {
		if _, err := c.Append(b.Context(), eventstore.Order.Stream(uuid.NewString()), eventstore.NoStream, benchEvents(500)); err != nil {
			b.Fatal(err)
		}
	}
	measure := func(name string, read func(*testing.B) int) {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if got := read(b); got < total {
					b.Fatal(got)
				}
				n += total
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
	measure("client", func(b *testing.B) (n int) {
		for _, err := range c.ReadAll(b.Context(), 0, eventstore.Filter{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		return n
	})
	measure("official", func(b *testing.B) (n int) {
		conf, err := esdb.ParseConnectionString(url)
		if err != nil {
			b.Fatal(err)
		}
		conf.Logger = esdb.NoopLogging()
		bare, err := esdb.NewClient(conf)
		if err != nil {
			b.Fatal(err)
		}
		defer bare.Close() //nolint:errcheck // returns nil always
		read, err := bare.ReadAll(b.Context(), esdb.ReadAllOptions{}, math.MaxInt64)
		if err != nil {
			b.Fatal(err)
		}
		defer read.Close()
		for {
			if _, err := read.Recv(); errors.Is(err, io.EOF) {
				return n
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
	})
}
