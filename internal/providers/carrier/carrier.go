// Package carrier is the port to whoever carries the parcels, with a simulator and the carrier of imported orders.
//
// A booking is named by our own key (the shipment's id), not by the carrier's reference: a booking whose outcome nobody
// heard of has no reference that we know, and must be cancelled all the same.
//
//	Book(key) -> booked --Dispatch--> dispatched
//	    \            \
//	     \            \--Cancel--> cancelled (final: a Book of the key that comes later is refused)
//	      \--> refused
//
// Every call may be repeated. An Outcome is the carrier's answer, yes or no; an error means that the outcome is unknown
// (Timeout, Unavailable, Internal). The handlers in commands/shipment.go call the port; cmd chooses the carriers by name.
// Names and addresses are opened just before the call and kept nowhere on our side.
package carrier

import (
	"context"

	"github.com/annalhq/annal/internal/fault"
)

// Port is a carrier.
type Port interface {
	// Book orders the transport of a parcel; the same key books once.
	Book(ctx context.Context, p Parcel) (Outcome, error)
	// Cancel ends a booking for ever, also one that was never made. It is refused with CodeDispatched once the parcel left.
	Cancel(ctx context.Context, key string) (Outcome, error)
	// Dispatch hands the parcel over and gives it its tracking number, the same one however often it is asked.
	Dispatch(ctx context.Context, key string) (Outcome, error)
	// Get tells how a booking stands; State None for a key that was never booked.
	Get(ctx context.Context, key string) (Status, error)
}

// Parcel is what is to be carried. Name and Address are personal data in the clear: an adapter passes them on and keeps none.
type Parcel struct {
	Key     string // the shipment's id
	Country string // ISO 3166-1 alpha-2
	Name    string
	Address string // JSON of the address
	Pieces  int64  // units in the parcel
}

// Outcome is the carrier's answer.
type Outcome struct {
	Accepted bool
	Ref      string // of a booking: the carrier's reference
	Tracking string // of a dispatch
	Code     string // of a refusal
	Reason   string // of a refusal, a sentence for people; no personal data
}

// Codes of refusals that callers act upon; a carrier may have any others.
const (
	CodeCancelled  = "cancelled"
	CodeDispatched = "dispatched"
	CodeNotBooked  = "not_booked"
)

// Refused is the answer no.
func Refused(code, reason string) Outcome { return Outcome{Code: code, Reason: reason} }

// State is where a booking stands.
type State string

// The states.
const (
	None       State = ""
	Booked     State = "booked"
	Declined   State = "refused"
	Dispatched State = "dispatched"
	Cancelled  State = "cancelled"
)

// Status is how a booking stands at the carrier.
type Status struct {
	State    State
	Ref      string
	Tracking string
	Code     string
	Reason   string
}

// ErrUnknown is what a carrier that did not answer leaves behind: it may have happened or not.
var ErrUnknown = fault.New(fault.Timeout, "CARRIER_OUTCOME_UNKNOWN", "the carrier did not answer; the outcome is unknown until it is asked again")
