package payment

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// The refusals of a payment.
var (
	ErrNotFound      = fault.New(fault.Missing, "PAYMENT_NOT_FOUND", "there is no such payment")
	ErrDifferent     = fault.New(fault.Conflict, "PAYMENT_EXISTS", "the order has a payment of another amount already")
	ErrDeclined      = fault.New(fault.Conflict, "PAYMENT_DECLINED", "the payment was declined; place the order again with another payment method")
	ErrFailed        = fault.New(fault.Conflict, "PAYMENT_FAILED", "the payment can't be carried out")
	ErrVoided        = fault.New(fault.Conflict, "PAYMENT_VOIDED", "the payment was voided")
	ErrNotAuthorised = fault.New(fault.Conflict, "PAYMENT_NOT_AUTHORISED", "the payment is not authorised")
	ErrNotCaptured   = fault.New(fault.Conflict, "PAYMENT_NOT_CAPTURED", "nothing was captured that could be given back")
	ErrAmount        = fault.New(fault.Invalid, "PAYMENT_AMOUNT_NEGATIVE", "an amount to be paid or given back is zero or more")
	ErrRefundTooMuch = fault.New(fault.Conflict, "REFUND_EXCEEDS_CAPTURED", "more would be given back than was captured and not given back yet")
	ErrRefundReused  = fault.New(fault.Conflict, "REFUND_EXISTS", "there is a refund of another amount with this id")
	ErrRefundRefused = fault.New(fault.Conflict, "REFUND_REFUSED", "the provider refused the refund; somebody has to look at it")
)

// Answer is what the provider said: yes, or no and why.
type Answer struct {
	Accepted bool
	Code     string
	Reason   string
}

// Open stores the provider's reference and the intent to authorise, in one go: what comes next is to ask the provider.
// Faults: ErrVoided for the tombstone, ErrDifferent, ErrAmount. Once it is open, opening it again changes nothing.
func Open(s State, of Of, amount money.Amount, provider, token, ref string) ([]Event, error) {
	switch {
	case amount.Minor < 0:
		return nil, ErrAmount.At("amount")
	case s.Status == StatusVoided && s.Ref == "":
		return nil, ErrVoided
	case s.Status != None && s.Ref != "" && s.Amount != amount:
		return nil, ErrDifferent
	case s.Status != None:
		return nil, nil
	}
	return []Event{
		Opened{Of: of, Amount: amount, Provider: provider, Token: token, Ref: ref},
		AuthorisationRequested{Of: of},
	}, nil
}

// FailToOpen records that the provider can't open such a payment at all. Fault: ErrVoided for the tombstone.
func FailToOpen(s State, of Of, a Answer) ([]Event, error) {
	switch s.Status {
	case None:
		return []Event{Failed{Of: of, Code: a.Code, Reason: a.Reason}}, nil
	case StatusVoided:
		return nil, ErrVoided
	}
	return nil, nil
}

// SettleAuthorisation records the provider's answer, if nothing else was decided meanwhile.
func SettleAuthorisation(s State, a Answer) ([]Event, error) {
	switch {
	case s.Status != StatusAuthorising:
		return nil, nil
	case a.Accepted:
		return []Event{Authorised{Of: s.Of, Amount: s.Amount}}, nil
	}
	return []Event{Declined{Of: s.Of, Code: a.Code, Reason: a.Reason}}, nil
}

// RequestCapture records the intent to take the amount. Faults: ErrNotFound, ErrNotAuthorised, ErrDeclined, ErrFailed, ErrVoided.
func RequestCapture(s State) ([]Event, error) {
	switch s.Status {
	case StatusAuthorised:
		return []Event{CaptureRequested{Of: s.Of}}, nil
	case StatusCapturing:
		return nil, nil
	case StatusOpened, StatusAuthorising:
		return nil, ErrNotAuthorised
	}
	return nil, s.Refusal()
}

// SettleCapture records the provider's answer. While the payment is being voided a capture that succeeded is refunded.
func SettleCapture(s State, a Answer) ([]Event, error) {
	switch {
	case s.Status == StatusVoiding && a.Accepted:
		return s.capturedLate(), nil
	case s.Status != StatusCapturing:
		return nil, nil
	case a.Accepted:
		return []Event{Captured{Of: s.Of, Amount: s.Amount}}, nil
	}
	return []Event{Failed{Of: s.Of, Code: a.Code, Reason: a.Reason}}, nil
}

// RequestVoid records the intent to undo whatever the payment has done: the tombstone if it was never opened, a refund of
// what is left if it was captured, nothing if it is over.
func RequestVoid(s State, of Of, reason string) ([]Event, error) {
	switch s.Status {
	case None:
		return []Event{Voided{Of: of, Reason: reason}}, nil
	case StatusOpened, StatusAuthorising, StatusAuthorised, StatusCapturing:
		return []Event{VoidRequested{Of: s.Of, Reason: reason}}, nil
	case StatusCaptured:
		return s.refundLeft(reason), nil
	}
	return nil, nil
}

// SettleVoid records that the provider ended the payment, or that it had been captured before it could be ended.
func SettleVoid(s State, ended bool) ([]Event, error) {
	switch {
	case s.Status != StatusVoiding:
		return nil, nil
	case ended:
		return []Event{Voided{Of: s.Of, Reason: s.VoidReason}}, nil
	}
	return s.capturedLate(), nil
}

// RequestRefund records the intent to give back. The same refund again changes nothing. Faults: ErrNotFound, ErrNotCaptured,
// ErrAmount, money.ErrCurrencyMismatch, ErrRefundTooMuch, ErrRefundReused.
func RequestRefund(s State, refund string, amount money.Amount, reason string) ([]Event, error) {
	known, again := s.Refunds[refund]
	switch {
	case s.Status == None:
		return nil, ErrNotFound
	case again && known.Amount != amount:
		return nil, ErrRefundReused
	case again:
		return nil, nil
	case s.Status != StatusCaptured:
		return nil, ErrNotCaptured
	case amount.Minor < 0:
		return nil, ErrAmount.At("amount")
	case amount.Currency != s.Captured.Currency:
		return nil, money.ErrCurrencyMismatch.At("amount")
	case amount.Minor > s.Left().Minor:
		return nil, ErrRefundTooMuch.At("amount")
	}
	return []Event{RefundRequested{Of: s.Of, Refund: refund, Amount: amount, Reason: reason}}, nil
}

// SettleRefund records the provider's answer to a pending refund.
func SettleRefund(s State, refund string, a Answer) ([]Event, error) {
	r := s.Refunds[refund]
	switch {
	case r.Status != RefundPending:
		return nil, nil
	case a.Accepted:
		return []Event{Refunded{Of: s.Of, Refund: refund, Amount: r.Amount}}, nil
	}
	return []Event{RefundFailed{Of: s.Of, Refund: refund, Code: a.Code, Reason: a.Reason}}, nil
}

// Refusal returns why a payment that is over, or never began, does not go on; nil if it does.
func (s State) Refusal() error {
	switch s.Status {
	case None:
		return ErrNotFound
	case StatusDeclined:
		return because(ErrDeclined, s.Reason)
	case StatusFailed:
		return because(ErrFailed, s.Reason)
	case StatusVoiding, StatusVoided:
		return ErrVoided
	case StatusCaptured:
		if _, undone := s.Refunds[VoidRefund(s.Payment)]; undone {
			return ErrVoided
		}
	}
	return nil
}

func because(f *fault.Error, reason string) error {
	if reason == "" {
		return f
	}
	return f.Because("%s: %s", f.Message, reason)
}

// VoidRefund returns the id of the refund that voids a captured payment.
func VoidRefund(id ID) string { return string(id) + "-void" }

func (s State) capturedLate() []Event {
	return []Event{
		Captured{Of: s.Of, Amount: s.Amount},
		RefundRequested{Of: s.Of, Refund: VoidRefund(s.Payment), Amount: s.Amount, Reason: s.VoidReason},
	}
}

// refundLeft is empty if nothing is left, or if voiding was tried already and refused: that is a person's to mend.
func (s State) refundLeft(reason string) []Event {
	left, id := s.Left(), VoidRefund(s.Payment)
	if _, tried := s.Refunds[id]; tried || left.IsZero() {
		return nil
	}
	return []Event{RefundRequested{Of: s.Of, Refund: id, Amount: left, Reason: reason}}
}
