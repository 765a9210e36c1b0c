package commands

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
)

// BenchmarkLongStream loads a SKU's stream of 10,000 events, reservations and shipments of 5,000 orders, whole and from a snapshot with
// a tail of 500, in turns, and reports how many times faster the second is.
//
//	go test ./commands -run '^$' -bench LongStream -benchtime 20x
func BenchmarkLongStream(b *testing.B) {
	h := newHouse(b)
	p := h.process(b, Ports{})
	const events, tail = 10_000, 500
	history := func(from, to int) {
		for at := from; at < to; at += 100 {
			r, err := p.begin(b.Context(), operator, "Fill", Meta{IdempotencyKey: fmt.Sprint("fill-", at)}, "", nil)
			must(b, err)
			_, _, err = execute(b.Context(), p, stock, r, "S", func(inventory.State, eventstore.Revision) (es []inventory.Event, _ error) {
				for i := at; i < at+100; i += 2 {
					order := deriveID("order", fmt.Sprint(i))
					es = append(es, inventory.Reserved{SKU: "S", Order: order, Line: 1, Quantity: 1}, inventory.Shipped{SKU: "S", Order: order, Line: 1, Quantity: 1})
				}
				return es, nil
			})
			must(b, err)
		}
	}
	p.stockUp(b, "S", 0, 1)
	p.snapshots.every = events
	history(0, events-tail)
	p.snapshots.every = 1
	history(events-tail, events-tail+100)
	p.writeDue(b)
	p.snapshots.every = events
	history(events-tail+100, events)

	whole := stock
	whole.snapshots = nil
	load := func(a aggregate[inventory.State, inventory.Event]) (time.Duration, *entry[inventory.State]) {
		began := time.Now()
		e, err := follow(b.Context(), p, a, eventstore.Inventory.Stream("S"), emptyEntry[inventory.State]())
		must(b, err)
		return time.Since(began), e
	}
	var slow, fast []time.Duration
	for b.Loop() {
		s, all := load(whole)
		f, cut := load(stock)
		if cut.heard.covered == 0 || all.revision != cut.revision || all.state.OnHand != cut.state.OnHand {
			b.Fatalf("%d covered, %d and %d events", cut.heard.covered, all.revision, cut.revision)
		}
		slow, fast = append(slow, s), append(fast, f)
	}
	slices.Sort(slow)
	slices.Sort(fast)
	s, f := slow[len(slow)/2], fast[len(fast)/2]
	b.ReportMetric(float64(s.Microseconds())/1000, "ms-whole")
	b.ReportMetric(float64(f.Microseconds())/1000, "ms-snapshot")
	b.ReportMetric(float64(s)/float64(f), "times-faster")
}
