package commands

import (
	"context"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

var payments = aggregate[payment.State, payment.Event]{category: eventstore.Payment, evolve: payment.Evolve}

// AuthorisePayment opens an order's payment and holds the amount. For services.
type AuthorisePayment struct {
	Meta
	Order    order.ID     `json:"order"`
	Customer string       `json:"customer"`
	Amount   money.Amount `json:"amount"`
	Provider string       `json:"provider"`
	Token    string       `json:"token,omitzero"`
}

// CapturePayment takes the whole amount that was authorised. For services.
type CapturePayment struct {
	Meta
	Order order.ID `json:"order"`
}

// VoidPayment undoes whatever the payment has done, and keeps it from doing more: a hold is released, a capture refunded,
// a payment that was never opened never will be.
type VoidPayment struct {
	Meta
	Order    order.ID `json:"order"`
	Customer string   `json:"customer,omitzero"` // of the tombstone; read from the order by default
	Reason   string   `json:"reason"`
}

// RefundPayment gives back part or all of what was captured.
type RefundPayment struct {
	Meta
	Order  order.ID     `json:"order"`
	Refund string       `json:"refund,omitzero"` // names the refund, such as the return's id; derived from the command by default
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
}

// PaymentResult answers the commands of a payment. It is as complete beside a refusal as without one.
type PaymentResult struct {
	Receipt
	Payment  payment.ID     `json:"payment"`
	Status   payment.Status `json:"status"` // as of now
	Captured money.Amount   `json:"captured"`
	Refunded money.Amount   `json:"refunded"`
	Refund   string         `json:"refund,omitzero"`
	Code     string         `json:"code,omitzero"` // why it was declined, failed or refused
	Reason   string         `json:"reason,omitzero"`
}

// ErrVoidRefused answers when the provider neither ends a payment nor says that it was captured. Worth another try.
var ErrVoidRefused = fault.New(fault.Unavailable, "PAYMENT_VOID_REFUSED", "the payment provider does not end the payment; it is tried again")

var errRefundID = fault.New(fault.Invalid, "REFUND_ID_MALFORMED", "a refund's id is 1 to 100 characters without control characters").At("refund")

// AuthorisePayment needs auth.Operate. Faults: payment.ErrDeclined, ErrFailed, ErrVoided, ErrDifferent, ErrAmount,
// ErrUnknownProvider; one of kind Timeout or Unavailable while the outcome is unknown.
func (h *Handlers) AuthorisePayment(ctx context.Context, p auth.Principal, c AuthorisePayment) (PaymentResult, error) {
	if err := p.Require(auth.Operate); err != nil {
		return PaymentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.effect(ctx, p, "AuthorisePayment", meta, c.Order, c)
	if err != nil {
		return PaymentResult{}, err
	}
	defer e.release()
	if c.Amount.Minor < 0 {
		return PaymentResult{}, payment.ErrAmount.At("amount")
	}
	of := payment.Of{Payment: e.id, Order: string(c.Order), Customer: c.Customer}
	if err := e.open(ctx, of, c); err != nil || e.state.Status != payment.StatusAuthorising {
		return e.settled(ctx, err, nil)
	}
	answer, err := e.authorise(ctx)
	if err != nil {
		return e.result(), err
	}
	return e.settled(ctx, nil, func(s payment.State) ([]payment.Event, error) { return payment.SettleAuthorisation(s, answer) })
}

// CapturePayment needs auth.Operate. Faults: payment.ErrNotFound, ErrNotAuthorised, ErrDeclined, ErrFailed, ErrVoided; one of kind
// Timeout or Unavailable while the outcome is unknown.
func (h *Handlers) CapturePayment(ctx context.Context, p auth.Principal, c CapturePayment) (PaymentResult, error) {
	if err := p.Require(auth.Operate); err != nil {
		return PaymentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.effect(ctx, p, "CapturePayment", meta, c.Order, c)
	if err != nil {
		return PaymentResult{}, err
	}
	defer e.release()
	if err := e.intend(ctx, payment.RequestCapture); err != nil || e.state.Status != payment.StatusCapturing {
		return e.settled(ctx, err, nil)
	}
	answer, err := e.capture(ctx)
	if err != nil {
		return e.result(), err
	}
	return e.settled(ctx, nil, func(s payment.State) ([]payment.Event, error) { return payment.SettleCapture(s, answer) })
}

// VoidPayment needs auth.ManagePayments. It is accepted in every state; a payment that was captured, even if nobody had
// heard of it yet, is refunded. Faults: payment.ErrRefundRefused, ErrVoidRefused; one of kind Timeout or Unavailable while the
// outcome is unknown.
func (h *Handlers) VoidPayment(ctx context.Context, p auth.Principal, c VoidPayment) (PaymentResult, error) {
	if err := p.Require(auth.ManagePayments); err != nil {
		return PaymentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.effect(ctx, p, "VoidPayment", meta, c.Order, c)
	if err != nil {
		return PaymentResult{}, err
	}
	defer e.release()
	of, err := e.owner(ctx, c.Order, c.Customer)
	if err != nil {
		return PaymentResult{}, err
	}
	if err := e.intend(ctx, func(s payment.State) ([]payment.Event, error) { return payment.RequestVoid(s, of, c.Reason) }); err != nil {
		return e.result(), err
	}
	if e.state.Status == payment.StatusVoiding {
		ended, err := e.end(ctx)
		if err != nil {
			return e.result(), err
		}
		if err := e.settle(ctx, "outcome", func(s payment.State) ([]payment.Event, error) { return payment.SettleVoid(s, ended) }); err != nil {
			return e.result(), err
		}
	}
	if id := payment.VoidRefund(e.id); e.state.Refunds[id] != (payment.Refund{}) {
		return e.refund(ctx, id)
	}
	return e.result(), nil
}

// RefundPayment needs auth.ManagePayments. Faults: payment.ErrNotFound, ErrNotCaptured, ErrAmount, ErrRefundTooMuch,
// ErrRefundReused, ErrRefundRefused; one of kind Timeout or Unavailable while the outcome is unknown.
func (h *Handlers) RefundPayment(ctx context.Context, p auth.Principal, c RefundPayment) (PaymentResult, error) {
	if err := p.Require(auth.ManagePayments); err != nil {
		return PaymentResult{}, err
	}
	if !printable(c.Refund, 0, 100) {
		return PaymentResult{}, errRefundID
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.effect(ctx, p, "RefundPayment", meta, c.Order, c)
	if err != nil {
		return PaymentResult{}, err
	}
	defer e.release()
	id := or(c.Refund, e.r.derive("refund"))
	if err := e.intend(ctx, func(s payment.State) ([]payment.Event, error) {
		return payment.RequestRefund(s, id, c.Amount, c.Reason)
	}); err != nil {
		return e.result(), err
	}
	return e.refund(ctx, id)
}
