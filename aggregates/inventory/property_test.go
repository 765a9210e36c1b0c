package inventory_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/inventory"
)

// books are kept beside the aggregate, in the plainest way.
type books struct {
	received, counted, writtenOff, shipped, returned int64
}

// TestStockKeepsItsInvariants runs any sequence of decisions, repeats included: invariants 27 and 28 hold after every event,
// a repeat of what was accepted changes nothing, and a state that was evolved from stays as it was.
func TestStockKeepsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s inventory.State
		var b books
		var accepted []decision
		apply := func(d decision) bool {
			before := fmt.Sprint(s)
			events, err := d(s)
			if err != nil {
				return false
			}
			after, wasLow, lows := s, s.Low(), 0
			for _, e := range events {
				after = inventory.Evolve(after, e)
				if _, ok := e.(inventory.WentLow); ok {
					lows++
				}
				b.enter(e)
				if after.OnHand < 0 || after.Reserved < 0 || after.Reserved > after.OnHand {
					t.Fatalf("after %#v: %d on hand, %d reserved", e, after.OnHand, after.Reserved)
				}
				if in, out := b.received+b.returned+b.counted, after.OnHand+b.shipped+b.writtenOff; in != out {
					t.Fatalf("after %#v: the books don't balance: %d in, %d out", e, in, out)
				}
			}
			if want := !wasLow && after.Low(); want != (lows == 1) || lows > 1 {
				t.Fatalf("low before %v, after %v, said %d times: %#v", wasLow, after.Low(), lows, events)
			}
			if fmt.Sprint(s) != before {
				t.Fatal("Evolve changed the state it was given")
			}
			s = after
			return true
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d, repeatable := draw(t)
			if apply(d) && repeatable {
				accepted = append(accepted, d)
				if again, err := d(s); err != nil || len(again) != 0 {
					t.Fatalf("the repeat of what was accepted: %v, %v", again, err)
				}
			}
			if len(accepted) > 0 && rapid.Bool().Draw(t, "late") { // a late repeat is refused, or changes nothing
				before := s.OnHand - s.Reserved
				d := rapid.SampledFrom(accepted).Draw(t, "which")
				if events, err := d(s); err == nil && len(events) != 0 {
					t.Fatalf("a late repeat took effect: %#v, %d available", events, before)
				}
			}
		}
	})
}

func (b *books) enter(e inventory.Event) {
	switch e := e.(type) {
	case inventory.Received:
		b.received += e.Quantity
	case inventory.Shipped:
		b.shipped += e.Quantity
	case inventory.Returned:
		b.returned += e.Quantity
	case inventory.Adjusted:
		if e.Cause == inventory.WriteOff {
			b.writtenOff -= e.Delta
		} else {
			b.counted += e.Delta
		}
	}
}

// draw returns any decision and whether a repeat of it must change nothing.
func draw(t *rapid.T) (decision, bool) {
	order := rapid.SampledFrom([]string{"o", "p", "q"}).Draw(t, "order")
	n := rapid.IntRange(1, 4).Draw(t, "line")
	lines := []inventory.Line{line(n, rapid.Int64Range(1, 5).Draw(t, "quantity"))}
	if rapid.Bool().Draw(t, "two") {
		lines = append(lines, line(n+1, rapid.Int64Range(1, 5).Draw(t, "quantity")))
	}
	switch rapid.IntRange(0, 8).Draw(t, "what") {
	case 0:
		return receive(rapid.Int64Range(-1, 30).Draw(t, "received")), false
	case 1:
		return adjust(inventory.WriteOff, rapid.Int64Range(0, 10).Draw(t, "gone")), false
	case 2:
		return adjust(inventory.Count, rapid.Int64Range(0, 30).Draw(t, "found")), false // two counts are two truths
	case 3:
		return setThreshold(rapid.Int64Range(0, 20).Draw(t, "threshold")), false
	case 4:
		return release(order, lines...), true
	case 5:
		return bar(order, lines...), true
	case 6:
		return ship(order, lines...), true
	case 7:
		return restock(order, rapid.SampledFrom([]string{"r", "s"}).Draw(t, "return"), lines...), true
	default:
		return reserve(order, lines...), true
	}
}

// TestTheLedgerIsAMap compares the persistent map, through the events that fill it, with a Go map, old versions included.
func TestTheLedgerIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := inventory.Evolve(inventory.State{}, received(1_000_000))
		want := map[string]int64{}
		key := func(order string, line int) string { return fmt.Sprint(order, "/", line) }
		steps := rapid.IntRange(0, 400).Draw(t, "steps")
		middle, wantMiddle := s, map[string]int64{}
		for i := range steps {
			order, line := fmt.Sprint("order", rapid.IntRange(0, 40).Draw(t, "order")), rapid.IntRange(1, 9).Draw(t, "line")
			s = inventory.Evolve(s, reserved(order, line, int64(i+1)))
			want[key(order, line)] = int64(i + 1)
			if i == steps/2 {
				middle = s
				for k, v := range want {
					wantMiddle[k] = v
				}
			}
		}
		for o := range 41 {
			for l := 1; l < 10; l++ {
				k := key(fmt.Sprint("order", o), l)
				if got := s.Line(fmt.Sprint("order", o), l).Quantity; got != want[k] {
					t.Fatalf("%s: %d, want %d", k, got, want[k])
				}
				if got := middle.Line(fmt.Sprint("order", o), l).Quantity; steps > 0 && got != wantMiddle[k] {
					t.Fatalf("an older version changed: %s: %d, want %d", k, got, wantMiddle[k])
				}
			}
		}
	})
}

// BenchmarkFoldLongStream shows that an event costs the same in a stream of 100 and of 100,000.
func BenchmarkFoldLongStream(b *testing.B) {
	for _, length := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			s := inventory.Evolve(inventory.State{}, received(1_000_000_000))
			for i := range length {
				s = inventory.Evolve(s, reserved(fmt.Sprint("order-", i), 1, 1))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				inventory.Evolve(s, reserved(fmt.Sprint("another-", i), 1, 1))
			}
		})
	}
}
