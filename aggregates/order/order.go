// Package order is the order: what was bought, by whom, where it stands, and what came back.
//
//	placed --Confirm--> confirmed --MarkShipped--> shipped --MarkDelivered--> delivered
//	   \                   |                          |                          |
//	    \--Cancel--> cancelled <--Cancel              \--Return--> ...            \--Return--> ...
//
// Rules:
//   - an order has 1 to MaxLines lines of 1 to MaxQuantity units each, all in one currency; equal lines stay separate.
//   - the price is the catalogue's at the moment of placing; another one needs a reason, and the handler asks who may.
//   - anybody may ask to cancel (RequestCancel) as long as the parcel has not left; the saga undoes what took effect and
//     then cancels. A requested cancellation keeps the order from being confirmed; only the fact that the parcel has left
//     beats it.
//   - what left may come back, never more units than were bought and never more money than was paid.
//   - cancelled is final; repeating what is so already is accepted and changes nothing.
//
// commands/order.go is the only caller of the decisions; whoever reads orders folds with Evolve.
package order

import (
	"maps"
	"time"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// ID identifies an order.
type ID string

// ErrIDMalformed refuses an id that can't be one.
var ErrIDMalformed = fault.New(fault.Invalid, "ORDER_ID_MALFORMED", "an order id is 1 to 64 lower-case letters, digits and hyphens")

// Validate returns ErrIDMalformed unless the id could be one.
func (id ID) Validate() error {
	if len(id) == 0 || len(id) > 64 {
		return ErrIDMalformed
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return ErrIDMalformed
		}
	}
	return nil
}

// Status is where an order stands.
type Status string

// The statuses; None is an order that was never placed.
const (
	None            Status = ""
	StatusPlaced    Status = "placed"
	StatusConfirmed Status = "confirmed"
	StatusShipped   Status = "shipped"
	StatusDelivered Status = "delivered"
	StatusCancelled Status = "cancelled"
)

// State is an order as its events tell it.
type State struct {
	Status   Status
	Order    ID
	Number   string
	Customer string
	Guest    bool
	Priority Priority
	Lines    []Line
	Total    money.Amount
	Country  string
	Channel  string
	Language string
	Name     pii.Sealed
	Email    pii.Sealed
	Address  pii.Sealed
	Tender   Tender
	Carrier  string
	Cart     string
	PlacedAt time.Time

	CancelRequested bool
	CancelReason    string
	CancelCode      string // once cancelled

	Payment  string // once confirmed
	Shipment string // once confirmed
	Tracking string // once shipped

	Returned      map[int]int64           // units that came back, by line
	ReturnedTotal money.Amount            // money to be given back for them
	Returns       map[string]money.Amount // the same, by return
}

// Left returns how many units of the line have not come back yet, 0 for a line that the order does not have.
func (s State) Left(line int) int64 {
	if line < 1 || line > len(s.Lines) {
		return 0
	}
	return s.Lines[line-1].Quantity - s.Returned[line]
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Placed:
		s = State{
			Status: StatusPlaced, Order: e.Order, Number: e.Number, Customer: e.Customer, Guest: e.Guest,
			Priority: e.Priority, Lines: e.Lines, Total: e.Total, Country: e.Country, Channel: e.Channel,
			Language: e.Language, Name: e.Name, Email: e.Email, Address: e.Address, Tender: e.Tender,
			Carrier: e.Carrier, Cart: e.Cart, PlacedAt: e.PlacedAt,
			ReturnedTotal: money.Of(0, e.Total.Currency),
		}
	case Confirmed:
		s.Status, s.Payment, s.Shipment = StatusConfirmed, e.Payment, e.Shipment
	case CancelRequested:
		s.CancelRequested, s.CancelReason = true, e.Reason
	case Cancelled:
		s.Status, s.CancelCode, s.CancelReason = StatusCancelled, e.Code, e.Reason
	case Shipped:
		s.Status, s.Shipment, s.Tracking, s.CancelRequested = StatusShipped, e.Shipment, e.Tracking, false
	case Delivered:
		s.Status = StatusDelivered
	case Returned:
		s.Returned = maps.Clone(s.Returned)
		if s.Returned == nil {
			s.Returned = map[int]int64{}
		}
		for _, l := range e.Lines {
			s.Returned[l.Line] += l.Quantity
		}
		s.Returns = maps.Clone(s.Returns)
		if s.Returns == nil {
			s.Returns = map[string]money.Amount{}
		}
		s.Returns[e.Return] = e.Amount
		s.ReturnedTotal = money.Of(s.ReturnedTotal.Minor+e.Amount.Minor, e.Amount.Currency)
	}
	return s
}
