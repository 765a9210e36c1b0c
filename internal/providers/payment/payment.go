// Package payment is the port to whoever moves the money, with a simulator and the provider of imported orders.
//
// A payment at a provider has one reference and one life:
//
//	Open(key) -> open --Authorise--> authorised --Capture--> captured --Refund(key)...
//	                \                     \
//	                 \--> declined         \--Cancel--> cancelled
//
// No money moves in Open; its only use is to obtain a reference that can be stored before anything happens. From then on
// every call names the reference and may be repeated: Authorise holds once, Capture takes once, Cancel is final, Refund
// gives once per key. So an outcome that nobody heard of is settled by Get or ended by Cancel, and never guessed.
//
// An Outcome is the provider's answer, yes or no. An error is not an answer: it means that the outcome is unknown (Timeout,
// Unavailable, Internal), or that the request can't be made at all (Invalid, Missing). The handlers in commands/payment.go
// call the port; cmd chooses the providers by name. guard.go puts a time limit and a circuit breaker before a provider.
package payment

import (
	"context"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// Port is a payment provider.
type Port interface {
	// Open prepares a payment and returns its reference; the same key gives the same reference as long as the provider
	// remembers. No money moves. A fault of kind Invalid means that it can never be opened like this.
	Open(ctx context.Context, key string, amount money.Amount, token string) (ref string, err error)
	// Authorise holds the amount.
	Authorise(ctx context.Context, ref string) (Outcome, error)
	// Capture takes the whole amount that was authorised.
	Capture(ctx context.Context, ref string) (Outcome, error)
	// Get tells how things stand; ErrNotFound for a reference that the provider does not know.
	Get(ctx context.Context, ref string) (Status, error)
	// Cancel ends the payment for ever: afterwards neither Authorise nor Capture can succeed. It is accepted for a payment
	// that holds nothing, and refused with CodeCaptured for one that was captured: that one has to be refunded.
	Cancel(ctx context.Context, ref string) (Outcome, error)
	// Refund gives back part of what was captured, once per key.
	Refund(ctx context.Context, ref, key string, amount money.Amount) (Outcome, error)
}

// Outcome is the provider's answer to a request. The zero Outcome is a refusal without a reason.
type Outcome struct {
	Accepted bool
	Code     string // of a refusal: "card_declined", "insufficient_funds", CodeCaptured, CodeCancelled ...
	Reason   string // of a refusal, a sentence for people; no personal data
}

// Codes of refusals that callers act upon; a provider may have any others.
const (
	CodeCaptured      = "already_captured"
	CodeCancelled     = "cancelled"
	CodeNotAuthorised = "not_authorised"
)

// Accepted is the answer yes.
func Accepted() Outcome { return Outcome{Accepted: true} }

// Refused is the answer no.
func Refused(code, reason string) Outcome { return Outcome{Code: code, Reason: reason} }

// State is where a payment stands at the provider.
type State string

// The states.
const (
	Open       State = "open"       // prepared, or an attempt is still to be made: nothing is held
	Processing State = "processing" // the provider itself does not know yet; ask again
	Authorised State = "authorised"
	Captured   State = "captured"
	Declined   State = "declined"
	Cancelled  State = "cancelled"
)

// Status is how a payment stands at the provider.
type Status struct {
	State    State
	Amount   money.Amount
	Captured money.Amount
	Refunds  map[string]money.Amount // what was given back, by key
	Code     string                  // why it was declined
	Reason   string
}

// The faults of a provider.
var (
	// ErrNotFound answers a reference that the provider does not know.
	ErrNotFound = fault.New(fault.Missing, "PAYMENT_UNKNOWN_AT_PROVIDER", "the payment provider does not know this payment")
	// ErrUnknown is what a provider that did not answer leaves behind: it may have happened or not.
	ErrUnknown = fault.New(fault.Timeout, "PAYMENT_OUTCOME_UNKNOWN", "the payment provider did not answer; the outcome is unknown until it is asked again")
)
