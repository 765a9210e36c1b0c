// Package payment is an order's one payment: what was asked of the provider, what it answered, and what is still unknown.
//
//	opened -> authorising -> authorised -> capturing -> captured (-> refunds)
//	              |              |             |            ^
//	              v              \-------------+-> voiding -+-> voided
//	           declined                        |
//	                                           v
//	                                         failed
//
// Every step that touches the provider is an intent (authorising, capturing, voiding, a pending refund) and then an
// outcome; between the two the truth is at the provider, and whoever goes on asks there first. Rules:
//   - captured is nothing or the whole amount; refunds, the pending ones included, never exceed what was captured.
//   - declined, voided and failed are final. On a stream without any other event Voided is a tombstone: the payment that
//     comes later is refused.
//   - a payment that turns out to be captured while it is being voided is refunded as a whole, by this context itself.
//   - an outcome that comes late, twice or out of order changes nothing.
//
// commands/payment.go is the only caller of the decisions; whoever reads payments folds with Evolve.
package payment

import (
	"maps"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// ID identifies a payment. An order has one payment, and its id is the order's.
type ID string

// ErrIDMalformed refuses an id that can't be one.
var ErrIDMalformed = fault.New(fault.Invalid, "PAYMENT_ID_MALFORMED", "a payment id is the id of its order")

// Validate returns ErrIDMalformed unless the id could be one.
func (id ID) Validate() error {
	if len(id) == 0 || len(id) > 64 {
		return ErrIDMalformed
	}
	return nil
}

// ForOrder returns the id of the order's payment.
func ForOrder(order string) ID { return ID(order) }

// Status is where a payment stands.
type Status string

// The statuses; None is a payment of which nothing is known.
const (
	None              Status = ""
	StatusOpened      Status = "opened"
	StatusAuthorising Status = "authorising" // outcome unknown
	StatusAuthorised  Status = "authorised"
	StatusDeclined    Status = "declined"
	StatusCapturing   Status = "capturing" // outcome unknown
	StatusCaptured    Status = "captured"
	StatusVoiding     Status = "voiding" // outcome unknown
	StatusVoided      Status = "voided"
	StatusFailed      Status = "failed"
)

// Final reports whether the payment can neither hold nor take anything any more. What was captured may still be refunded.
func (s Status) Final() bool {
	return s == StatusDeclined || s == StatusVoided || s == StatusFailed || s == StatusCaptured
}

// State is a payment as its events tell it.
type State struct {
	Of
	Status     Status
	Amount     money.Amount
	Provider   string
	Token      string
	Ref        string
	Captured   money.Amount
	Refunds    map[string]Refund
	VoidReason string
	Code       string // why it was declined or failed
	Reason     string
}

// Refund is one giving back.
type Refund struct {
	Amount money.Amount
	Status RefundStatus
	Code   string
	Reason string
}

// RefundStatus is where a refund stands.
type RefundStatus string

// The statuses of a refund.
const (
	RefundPending RefundStatus = "pending" // outcome unknown
	RefundDone    RefundStatus = "refunded"
	RefundRefused RefundStatus = "failed"
)

// Left returns what was captured and is neither given back nor about to be.
func (s State) Left() money.Amount {
	left := s.Captured
	for _, r := range s.Refunds {
		if r.Status != RefundRefused {
			left.Minor -= r.Amount.Minor
		}
	}
	return left
}

// Refunded returns what was given back.
func (s State) Refunded() money.Amount {
	sum := money.Of(0, s.Captured.Currency)
	for _, r := range s.Refunds {
		if r.Status == RefundDone {
			sum.Minor += r.Amount.Minor
		}
	}
	return sum
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Opened:
		s = State{Of: e.Of, Status: StatusOpened, Amount: e.Amount, Provider: e.Provider, Token: e.Token, Ref: e.Ref,
			Captured: money.Of(0, e.Amount.Currency)}
	case AuthorisationRequested:
		s.Of, s.Status = e.Of, StatusAuthorising
	case Authorised:
		s.Of, s.Status = e.Of, StatusAuthorised
	case Declined:
		s.Of, s.Status, s.Code, s.Reason = e.Of, StatusDeclined, e.Code, e.Reason
	case CaptureRequested:
		s.Of, s.Status = e.Of, StatusCapturing
	case Captured:
		s.Of, s.Status, s.Captured = e.Of, StatusCaptured, e.Amount
	case VoidRequested:
		s.Of, s.Status, s.VoidReason = e.Of, StatusVoiding, e.Reason
	case Voided:
		s.Of, s.Status, s.VoidReason = e.Of, StatusVoided, e.Reason
	case Failed:
		s.Of, s.Status, s.Code, s.Reason = e.Of, StatusFailed, e.Code, e.Reason
	case RefundRequested:
		s = s.withRefund(e.Refund, Refund{Amount: e.Amount, Status: RefundPending, Reason: e.Reason})
	case Refunded:
		s = s.withRefund(e.Refund, Refund{Amount: e.Amount, Status: RefundDone, Reason: s.Refunds[e.Refund].Reason})
	case RefundFailed:
		s = s.withRefund(e.Refund, Refund{Amount: s.Refunds[e.Refund].Amount, Status: RefundRefused, Code: e.Code, Reason: e.Reason})
	}
	return s
}

func (s State) withRefund(id string, r Refund) State {
	s.Refunds = maps.Clone(s.Refunds)
	if s.Refunds == nil {
		s.Refunds = map[string]Refund{}
	}
	s.Refunds[id] = r
	return s
}
