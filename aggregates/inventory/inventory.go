// Package inventory is the stock of one SKU: what is in the house, and what of it is promised to orders.
//
// Invariant 27, at every revision: on hand >= 0 and 0 <= reserved <= on hand. What can be promised is available = on hand -
// reserved. Invariant 28: received + returned + counted = on hand + shipped + written off.
//
// Each line of an order goes one way, and each step is repeatable by (order, line):
//
//	            Reserve            Ship              Restock (by return, up to what was shipped)
//	(unknown) ──────────▶ reserved ─────▶ shipped ──────────▶ shipped, less
//	    │                    │
//	    │ Release            │ Release
//	    ▼                    ▼
//	 released             released
//
// Released is final. Releasing what was never reserved leaves a tombstone (a Released of quantity 0), which refuses the
// reservation should it come later: the undoing of an effect whose outcome is unknown (docs/adr/0008-saga-commands-and-timers.md).
//
// All lines of one order that ask for the same SKU are decided together, all or none, and appended at once. When an
// event makes the available units fall to the threshold or below, WentLow follows in the same append.
//
// The state remembers every line for good, since a repeat may come at any time; so its lines are a persistent map
// (ledger.go), and Evolve costs the same for the first and the hundred-thousandth line. Callers: commands, queries.
package inventory

import "github.com/annalhq/annal/internal/fault"

// SKU names the stock keeping unit; the same as the product's.
type SKU string

// ErrSKUMalformed refuses what can't be a SKU.
var ErrSKUMalformed = fault.New(fault.Invalid, "SKU_MALFORMED", "a SKU is 1 to 64 letters, digits, '_', '.' or '-', and begins with a letter or digit")

// Validate returns ErrSKUMalformed unless the SKU has the right form.
func (s SKU) Validate() error {
	if len(s) == 0 || len(s) > 64 || !alphanumeric(s[0]) {
		return ErrSKUMalformed
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return ErrSKUMalformed
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// State is what the events of one SKU amount to. The zero State is a SKU of which there was never any.
type State struct {
	OnHand    int64 // units in the house
	Reserved  int64 // of these, promised to orders
	Threshold int64 // available units at or below it are low; 0 = never
	lines     ledger
}

// Available returns the units that can be promised.
func (s State) Available() int64 { return s.OnHand - s.Reserved }

// Low reports whether the available units are at or below the threshold.
func (s State) Low() bool { return s.Threshold > 0 && s.Available() <= s.Threshold }

// Line returns what became of a line of an order; the zero Entry if it never asked for this SKU.
func (s State) Line(order string, line int) Entry { return s.lines.get(key{order, line}) }

// An Entry is what became of one line of an order.
type Entry struct {
	Step     Step
	Quantity int64    // reserved or shipped; 0 for a tombstone
	Reason   string   // of the release
	Returned int64    // of the shipped units, those that came back
	Returns  []string // the returns that they came back with
}

// Step is where a line stands.
type Step uint8

// The steps of a line.
const (
	Unknown Step = iota
	Held         // reserved
	Freed        // released; final
	Gone         // shipped
)

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Received:
		s.OnHand += e.Quantity
	case Adjusted:
		s.OnHand += e.Delta
	case ThresholdSet:
		s.Threshold = e.Threshold
	case Reserved:
		s.Reserved += e.Quantity
		s.lines = s.lines.put(key{e.Order, e.Line}, Entry{Step: Held, Quantity: e.Quantity})
	case Released:
		s.Reserved -= e.Quantity
		s.lines = s.lines.put(key{e.Order, e.Line}, Entry{Step: Freed, Quantity: e.Quantity, Reason: e.Reason})
	case Shipped:
		s.OnHand -= e.Quantity
		s.Reserved -= e.Quantity
		s.lines = s.lines.put(key{e.Order, e.Line}, Entry{Step: Gone, Quantity: e.Quantity})
	case Returned:
		s.OnHand += e.Quantity
		was := s.Line(e.Order, e.Line)
		was.Returned += e.Quantity
		was.Returns = append(was.Returns[:len(was.Returns):len(was.Returns)], e.Return)
		s.lines = s.lines.put(key{e.Order, e.Line}, was)
	}
	return s
}
