package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
)

// BenchmarkLinks compares appends of 64 writers with and without link streams, and with bare Pebble, in random turns: medians of the
// ratios, and the processor's time per event, the follower's and Pebble's background work included. It wants the links to have caught
// up at the end of each turn.
//
//	go test -run '^$' -bench Links -benchtime 1x ./eventstore/engine
func BenchmarkLinks(b *testing.B) {
	for _, kind := range []string{"hot", "new"} {
		b.Run(kind, func(b *testing.B) { compareLinks(b, kind == "new") })
	}
}

func compareLinks(b *testing.B, fresh bool) {
	const writers, rounds = 64, 15
	p, err := engine.OpenBare(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	off := open(b, b.TempDir(), engine.WithoutLinks(engine.Config{}))
	on := open(b, b.TempDir(), engine.Config{})
	sides := []func(int) error{bareWriter(p, fresh), engineWriter(off, fresh), engineWriter(on, fresh)}
	var rates, costs [3][]float64
	for range rounds {
		var now [3]float64
		for _, i := range rand.Perm(len(sides)) {
			used, begun := processorTime(), time.Now()
			now[i], _ = rate(b, writers, sides[i])
			events := now[i] * time.Since(begun).Seconds()
			if err := on.WaitLinked(b.Context(), on.Last()); err != nil {
				b.Fatal(err)
			}
			costs[i] = append(costs[i], (processorTime()-used)*1e6/events)
		}
		for i := range now {
			rates[i] = append(rates[i], now[i]/now[0])
		}
	}
	for i, name := range []string{"bare", "off", "on"} {
		b.ReportMetric(median(costs[i]), fmt.Sprintf("µs/event-%s", name))
		if i > 0 {
			b.ReportMetric(100*median(rates[i]), fmt.Sprintf("%%bare-%s", name))
		}
	}
	b.ReportMetric(0, "ns/op")
}
