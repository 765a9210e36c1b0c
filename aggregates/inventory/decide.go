package inventory

import "github.com/annalhq/annal/internal/fault"

// The limits of a SKU's stock.
const (
	MaxQuantity = 1_000_000_000         // units in one command
	MaxOnHand   = 1_000_000_000_000_000 // units in the house
)

// The refusals of stock keeping.
var (
	ErrQuantity      = fault.New(fault.Invalid, "QUANTITY_OUT_OF_RANGE", "a quantity is between 1 and 1,000,000,000 units").At("quantity")
	ErrTooMuch       = fault.New(fault.Conflict, "STOCK_OUT_OF_RANGE", "the stock would exceed what can be counted")
	ErrBelowReserved = fault.New(fault.Conflict, "STOCK_RESERVED", "the stock can't fall below what is reserved for orders; cancel orders first")
	ErrCause         = fault.New(fault.Invalid, "ADJUSTMENT_CAUSE_UNKNOWN", "an adjustment is a write_off or a count").At("cause")
	ErrReason        = fault.New(fault.Invalid, "REASON_MALFORMED", "give a reason of 1 to 500 characters").At("reason")
	ErrThreshold     = fault.New(fault.Invalid, "THRESHOLD_OUT_OF_RANGE", "a threshold is between 0 (off) and 1,000,000,000 units").At("threshold")
)

// Receive adds units that came into the house. Faults: ErrQuantity, ErrTooMuch.
func Receive(s State, sku SKU, quantity int64, reference string) ([]Event, error) {
	if quantity < 1 || quantity > MaxQuantity {
		return nil, ErrQuantity
	}
	if s.OnHand+quantity > MaxOnHand {
		return nil, ErrTooMuch
	}
	return []Event{Received{SKU: sku, Quantity: quantity, Reference: reference}}, nil
}

// Adjust corrects what is in the house: a WriteOff takes quantity units away, a Count says that quantity units were
// found. A count that finds what the books say is an event too, with Delta 0: that
// somebody counted is a fact, and an accepted command must be found in the stream when it comes again. Faults: ErrCause, ErrQuantity, ErrReason, ErrBelowReserved.
func Adjust(s State, sku SKU, cause Adjustment, quantity int64, reason string) ([]Event, error) {
	if reason == "" || len(reason) > 4*500 {
		return nil, ErrReason
	}
	delta := quantity - s.OnHand
	switch {
	case cause != WriteOff && cause != Count:
		return nil, ErrCause
	case quantity < 0 || quantity > MaxQuantity || cause == WriteOff && quantity == 0:
		return nil, ErrQuantity
	case cause == WriteOff:
		delta = -quantity
	}
	if s.OnHand+delta < s.Reserved {
		return nil, ErrBelowReserved.Because("there are %d units on hand, %d of them reserved for orders; take away or count no fewer than leave these", s.OnHand, s.Reserved)
	}
	return s.withLow(sku, Adjusted{SKU: sku, Delta: delta, Cause: cause, Reason: reason}), nil
}

// SetThreshold says at how many available units stock counts as low; 0 switches it off. Fault: ErrThreshold.
func SetThreshold(s State, sku SKU, threshold int64) ([]Event, error) {
	if threshold < 0 || threshold > MaxQuantity {
		return nil, ErrThreshold
	}
	return s.withLow(sku, ThresholdSet{SKU: sku, Threshold: threshold}), nil
}

// withLow returns the events, followed by WentLow if they are what made the stock low.
func (s State) withLow(sku SKU, events ...Event) []Event {
	after := s
	for _, e := range events {
		after = Evolve(after, e)
	}
	if s.Low() || !after.Low() {
		return events
	}
	return append(events, WentLow{SKU: sku, Available: after.Available(), Threshold: after.Threshold})
}
