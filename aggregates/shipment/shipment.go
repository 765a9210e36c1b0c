// Package shipment is the one parcel of an order: the booking at a carrier, its way, its end.
//
//	requested --Settle--> scheduled --Dispatch--> dispatched --Deliver--> delivered
//	    |    \                |
//	    |     \--> refused    |
//	    \----------------> cancelling --> cancelled
//
// Booking and cancelling are intents and then outcomes; between the two the truth is at the carrier. Rules:
//   - refused, cancelled and delivered are final. On a stream without any other event Cancelled is a tombstone: the
//     booking that comes later is refused.
//   - a parcel that left can't be cancelled; if it left while it was being cancelled, it is dispatched.
//   - an outcome that comes late, twice or out of order changes nothing.
//
// commands/shipment.go is the only caller of the decisions; whoever reads shipments folds with Evolve.
package shipment

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// ID identifies a shipment. An order has one shipment, and its id is the order's.
type ID string

// ErrIDMalformed refuses an id that can't be one.
var ErrIDMalformed = fault.New(fault.Invalid, "SHIPMENT_ID_MALFORMED", "a shipment id is the id of its order")

// Validate returns ErrIDMalformed unless the id could be one.
func (id ID) Validate() error {
	if len(id) == 0 || len(id) > 64 {
		return ErrIDMalformed
	}
	return nil
}

// ForOrder returns the id of the order's shipment.
func ForOrder(order string) ID { return ID(order) }

// Status is where a shipment stands.
type Status string

// The statuses; None is a shipment of which nothing is known.
const (
	None             Status = ""
	StatusRequested  Status = "requested" // outcome unknown
	StatusScheduled  Status = "scheduled"
	StatusRefused    Status = "refused"
	StatusDispatched Status = "dispatched"
	StatusDelivered  Status = "delivered"
	StatusCancelling Status = "cancelling" // outcome unknown
	StatusCancelled  Status = "cancelled"
)

// State is a shipment as its events tell it.
type State struct {
	Of
	Status   Status
	Carrier  string
	Country  string
	Name     pii.Sealed
	Address  pii.Sealed
	Lines    []Line
	Ref      string
	Tracking string
	Code     string // why it was refused
	Reason   string // why it was refused or cancelled
}

// Pieces returns the number of units in the parcel.
func (s State) Pieces() int64 {
	var n int64
	for _, l := range s.Lines {
		n += l.Quantity
	}
	return n
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Requested:
		s = State{Of: e.Of, Status: StatusRequested, Carrier: e.Carrier, Country: e.Country, Name: e.Name,
			Address: e.Address, Lines: e.Lines}
	case Scheduled:
		s.Of, s.Status, s.Ref = e.Of, StatusScheduled, e.Ref
	case Refused:
		s.Of, s.Status, s.Code, s.Reason = e.Of, StatusRefused, e.Code, e.Reason
	case Dispatched:
		s.Of, s.Status, s.Tracking = e.Of, StatusDispatched, e.Tracking
	case Delivered:
		s.Of, s.Status = e.Of, StatusDelivered
	case CancelRequested:
		s.Of, s.Status, s.Reason = e.Of, StatusCancelling, e.Reason
	case Cancelled:
		s.Of, s.Status, s.Reason = e.Of, StatusCancelled, e.Reason
	}
	return s
}
