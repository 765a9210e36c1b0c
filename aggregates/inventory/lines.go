package inventory

import (
	"slices"

	"github.com/annalhq/annal/internal/fault"
)

// A Line is one line of an order, as far as this SKU is concerned.
type Line struct {
	Line     int // number in the order, from 1
	Quantity int64
}

// Reasons of a release that mean more than their words: a repeated reservation of such a line is answered as the first was.
const (
	ReasonShort  = "OUT_OF_STOCK" // this SKU was short
	ReasonUndone = "ORDER_UNDONE" // another SKU of the order was short
	maxLine      = 1_000_000_000  // an order's line number
	maxReturns   = 1_000          // of one line
)

// The refusals of an order's lines.
var (
	ErrOutOfStock      = fault.New(fault.Conflict, "OUT_OF_STOCK", "there is not enough in stock; order less, or later")
	ErrUndone          = fault.New(fault.Conflict, "ORDER_UNDONE", "another item of the order was short, so the order's reservation was given back for good")
	ErrReleased        = fault.New(fault.Conflict, "RESERVATION_RELEASED", "the order's reservation was given back for good")
	ErrLineDiffers     = fault.New(fault.Conflict, "RESERVATION_DIFFERS", "the line is reserved with another quantity; release it first")
	ErrNotReserved     = fault.New(fault.Conflict, "NOT_RESERVED", "the line is not reserved, so it can't be shipped")
	ErrAlreadyShipped  = fault.New(fault.Conflict, "ALREADY_SHIPPED", "the line has left the house; return it instead")
	ErrAlreadyReserved = fault.New(fault.Conflict, "ALREADY_RESERVED", "the line is reserved")
	ErrNotShipped      = fault.New(fault.Conflict, "NOT_SHIPPED", "only what was shipped can come back")
	ErrReturnTooLarge  = fault.New(fault.Conflict, "RETURN_TOO_LARGE", "more units come back than were shipped")
	ErrLines           = fault.New(fault.Invalid, "LINES_MALFORMED", "name each line of the order once, with a number from 1 and a quantity from 1 to 1,000,000,000")
)

// Reserve sets units aside for lines of an order, all or none. Lines that are reserved or shipped already, with this
// quantity, are accepted and left as they are. Faults: ErrOutOfStock, ErrUndone, ErrReleased, ErrLineDiffers, ErrLines.
func Reserve(s State, sku SKU, order string, lines ...Line) ([]Event, error) {
	if err := check(order, lines); err != nil {
		return nil, err
	}
	var events []Event
	var wanted int64
	for _, l := range lines {
		was := s.Line(order, l.Line)
		switch {
		case was.Step == Freed && was.Reason == ReasonShort:
			return nil, ErrOutOfStock
		case was.Step == Freed && was.Reason == ReasonUndone:
			return nil, ErrUndone
		case was.Step == Freed:
			return nil, ErrReleased
		case was.Step != Unknown && was.Quantity != l.Quantity:
			return nil, ErrLineDiffers
		case was.Step == Unknown:
			wanted += l.Quantity
			events = append(events, Reserved{SKU: sku, Order: order, Line: l.Line, Quantity: l.Quantity})
		}
	}
	if wanted > s.Available() {
		return nil, ErrOutOfStock
	}
	return s.withLow(sku, events...), nil
}

// Plenty reports whether after reserving the lines at least as many units would be left as they ask for.
func Plenty(s State, lines ...Line) bool {
	left := s.Available()
	for _, l := range lines {
		left -= 2 * l.Quantity
	}
	return left >= 0
}

// Bar refuses a reservation for good: each line that is unknown gets a tombstone, lines that are released stay so. If any
// of the lines is reserved or shipped, the reservation won: ErrAlreadyReserved and nothing happens. Fault: ErrLines.
func Bar(s State, sku SKU, order, reason string, lines ...Line) ([]Event, error) {
	for _, l := range lines {
		if step := s.Line(order, l.Line).Step; step == Held || step == Gone {
			return nil, ErrAlreadyReserved
		}
	}
	return Release(s, sku, order, reason, lines...)
}

// Release gives the reservations of lines back, whatever their quantity; a line that is unknown gets a tombstone, one that
// is released stays so. Faults: ErrAlreadyShipped if any of them left the house, ErrReason, ErrLines.
func Release(s State, sku SKU, order, reason string, lines ...Line) ([]Event, error) {
	if err := checkNumbers(order, lines); err != nil {
		return nil, err
	}
	if reason == "" {
		return nil, ErrReason
	}
	var events []Event
	for _, l := range lines {
		switch was := s.Line(order, l.Line); was.Step {
		case Gone:
			return nil, ErrAlreadyShipped
		case Held:
			events = append(events, Released{SKU: sku, Order: order, Line: l.Line, Quantity: was.Quantity, Reason: reason})
		case Unknown:
			events = append(events, Released{SKU: sku, Order: order, Line: l.Line, Reason: reason})
		}
	}
	return events, nil
}

// Ship takes reserved lines out of the house, all or none; what left already is left as it is. Faults: ErrNotReserved,
// ErrReleased, ErrLineDiffers, ErrLines.
func Ship(s State, sku SKU, order string, lines ...Line) ([]Event, error) {
	if err := check(order, lines); err != nil {
		return nil, err
	}
	var events []Event
	for _, l := range lines {
		was := s.Line(order, l.Line)
		switch {
		case was.Step == Unknown:
			return nil, ErrNotReserved
		case was.Step == Freed:
			return nil, ErrReleased
		case was.Quantity != l.Quantity:
			return nil, ErrLineDiffers
		case was.Step == Held:
			events = append(events, Shipped{SKU: sku, Order: order, Line: l.Line, Quantity: l.Quantity})
		}
	}
	return events, nil
}

// Restock brings units of shipped lines back, all or none; lines that came back with this return already are left as they
// are. Faults: ErrNotShipped, ErrReturnTooLarge, ErrTooMuch, ErrLines.
func Restock(s State, sku SKU, order, ret string, lines ...Line) ([]Event, error) {
	if err := check(order, lines); err != nil {
		return nil, err
	}
	if ret == "" {
		return nil, ErrLines.At("return")
	}
	var events []Event
	var back int64
	for _, l := range lines {
		was := s.Line(order, l.Line)
		switch {
		case was.Step != Gone:
			return nil, ErrNotShipped
		case slices.Contains(was.Returns, ret):
			continue
		case was.Returned+l.Quantity > was.Quantity || len(was.Returns) >= maxReturns:
			return nil, ErrReturnTooLarge
		}
		back += l.Quantity
		events = append(events, Returned{SKU: sku, Order: order, Return: ret, Line: l.Line, Quantity: l.Quantity})
	}
	if s.OnHand+back > MaxOnHand {
		return nil, ErrTooMuch
	}
	return events, nil
}

// check refuses lines without an order, without a quantity, or named twice.
func check(order string, lines []Line) error {
	for _, l := range lines {
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			return ErrLines
		}
	}
	return checkNumbers(order, lines)
}

func checkNumbers(order string, lines []Line) error {
	if order == "" || len(lines) == 0 {
		return ErrLines
	}
	seen := make(map[int]struct{}, len(lines))
	for _, l := range lines {
		if _, twice := seen[l.Line]; twice || l.Line < 1 || l.Line > maxLine {
			return ErrLines
		}
		seen[l.Line] = struct{}{}
	}
	return nil
}
