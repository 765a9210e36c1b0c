package commands

import (
	"context"
	"errors"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	provider "github.com/annalhq/annal/internal/providers/payment"
)

// A paymentEffect is one command at work on one payment: the state after the last step, and the receipt of the last step
// that this command did.
type paymentEffect struct {
	h       *Handlers
	r       request
	id      payment.ID
	state   payment.State
	receipt Receipt
	fresh   bool // this call stored the intent: nobody has asked the provider yet
	release func()
}

// effect begins the command and waits for its turn at the payment.
func (h *Handlers) effect(ctx context.Context, p auth.Principal, name string, m Meta, id order.ID, input any) (*paymentEffect, error) {
	if err := id.Validate(); err != nil {
		return nil, order.ErrIDMalformed.At("order")
	}
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return nil, err
	}
	e := &paymentEffect{h: h, r: r, id: payment.ForOrder(string(id))}
	e.release, err = h.effects.acquire(ctx, eventstore.Payment.Stream(string(e.id)))
	return e, err
}

// intend stores the intent under the command's own id.
func (e *paymentEffect) intend(ctx context.Context, decide func(payment.State) ([]payment.Event, error)) error {
	return e.execute(ctx, e.r, decide)
}

// settle stores an outcome under an id of its own.
func (e *paymentEffect) settle(ctx context.Context, part string, decide func(payment.State) ([]payment.Event, error)) error {
	return e.execute(ctx, e.r.sub(part), decide)
}

func (e *paymentEffect) execute(ctx context.Context, r request, decide func(payment.State) ([]payment.Event, error)) error {
	e.fresh = false
	receipt, s, err := execute(ctx, e.h, payments, r, string(e.id), func(s payment.State, _ eventstore.Revision) ([]payment.Event, error) {
		events, err := decide(s)
		e.fresh = len(events) > 0
		return events, err
	})
	if err != nil {
		return err
	}
	e.state, e.receipt = s, receipt
	return nil
}

// settled stores the outcome, or finds it, and answers with the payment's refusal if it does not go on. Called without
// a decision it answers a repeat with the receipt that the first call got.
func (e *paymentEffect) settled(ctx context.Context, err error, decide func(payment.State) ([]payment.Event, error)) (PaymentResult, error) {
	if err != nil {
		return e.result(), err
	}
	if decide == nil {
		decide = func(payment.State) ([]payment.Event, error) { return nil, nil }
	}
	if err := e.settle(ctx, "outcome", decide); err != nil {
		return e.result(), err
	}
	return e.result(), e.state.Refusal()
}

func (e *paymentEffect) result() PaymentResult {
	s := e.state
	return PaymentResult{Receipt: e.receipt, Payment: e.id, Status: s.Status, Captured: s.Captured, Refunded: s.Refunded(),
		Code: s.Code, Reason: s.Reason}
}

func (e *paymentEffect) port() (provider.Port, error) { return e.h.ports.payment(e.state.Provider) }

// open obtains a reference and stores it with the intent to authorise. If the payment was voided meanwhile, the reference,
// which holds nothing, is given back.
func (e *paymentEffect) open(ctx context.Context, of payment.Of, c AuthorisePayment) error {
	port, err := e.h.ports.payment(c.Provider)
	if err != nil {
		return err
	}
	s, _, err := look(ctx, e.h, payments, e.r, string(e.id), closeLook)
	if err != nil {
		return err
	}
	ref := s.Ref
	if s.Status == payment.None {
		ref, err = port.Open(ctx, string(e.id), c.Amount, c.Token)
		if fault.KindOf(err) == fault.Invalid {
			answer := payment.Answer{Code: fault.CodeOf(err), Reason: fault.MessageOf(err)}
			return e.intend(ctx, func(s payment.State) ([]payment.Event, error) { return payment.FailToOpen(s, of, answer) })
		}
		if err != nil {
			return unknown(err)
		}
	}
	err = e.intend(ctx, func(s payment.State) ([]payment.Event, error) {
		return payment.Open(s, of, c.Amount, c.Provider, c.Token, ref)
	})
	if errors.Is(err, payment.ErrVoided) && s.Status == payment.None {
		_, cancelled := port.Cancel(ctx, ref)
		if cancelled != nil && !errors.Is(cancelled, provider.ErrNotFound) {
			return unknown(cancelled)
		}
	}
	return err
}

// authorise asks the provider to hold the amount; on a repeat it first asks whether it does already.
func (e *paymentEffect) authorise(ctx context.Context) (payment.Answer, error) {
	port, err := e.port()
	if err != nil {
		return payment.Answer{}, err
	}
	return ask(ctx, e.fresh,
		func() (provider.Outcome, error) { return port.Authorise(ctx, e.state.Ref) },
		func() (payment.Answer, bool, error) {
			st, err := port.Get(ctx, e.state.Ref)
			return authorisedBy(st), st.State == provider.Open, orProcessing(err, st)
		})
}

// authorisedBy reads the outcome of the authorisation from how the payment stands.
func authorisedBy(st provider.Status) payment.Answer {
	switch st.State {
	case provider.Authorised, provider.Captured:
		return payment.Answer{Accepted: true}
	case provider.Cancelled:
		return payment.Answer{Code: provider.CodeCancelled, Reason: "the payment was cancelled at the provider"}
	}
	return payment.Answer{Code: st.Code, Reason: st.Reason}
}

// capture asks the provider to take the amount; on a repeat it first asks whether it did already.
func (e *paymentEffect) capture(ctx context.Context) (payment.Answer, error) {
	port, err := e.port()
	if err != nil {
		return payment.Answer{}, err
	}
	answer, err := ask(ctx, e.fresh,
		func() (provider.Outcome, error) { return port.Capture(ctx, e.state.Ref) },
		func() (payment.Answer, bool, error) {
			st, err := port.Get(ctx, e.state.Ref)
			return capturedBy(st), st.State == provider.Authorised, orProcessing(err, st)
		})
	if err != nil || answer.Accepted {
		return answer, err
	}
	// What could not be captured must not stay held.
	if _, err := port.Cancel(ctx, e.state.Ref); err != nil && !errors.Is(err, provider.ErrNotFound) {
		return answer, unknown(err)
	}
	return answer, nil
}

func capturedBy(st provider.Status) payment.Answer {
	switch st.State {
	case provider.Captured:
		return payment.Answer{Accepted: true}
	case provider.Cancelled:
		return payment.Answer{Code: provider.CodeCancelled, Reason: "the authorisation ended before it was captured"}
	case provider.Open:
		return payment.Answer{Code: provider.CodeNotAuthorised, Reason: "the provider holds nothing for this payment"}
	}
	return payment.Answer{Code: or(st.Code, provider.CodeNotAuthorised), Reason: st.Reason}
}

// end cancels the payment at the provider. It returns false if the payment had been captured before. What the provider does
// not know holds nothing.
func (e *paymentEffect) end(ctx context.Context) (ended bool, err error) {
	port, err := e.port()
	if err != nil {
		return false, err
	}
	out, err := port.Cancel(ctx, e.state.Ref)
	switch {
	case errors.Is(err, provider.ErrNotFound):
		return true, nil
	case err != nil:
		return false, unknown(err)
	case out.Accepted:
		return true, nil
	case out.Code == provider.CodeCaptured:
		return false, nil
	}
	return false, ErrVoidRefused
}

// refund carries out a refund that was intended, and answers.
func (e *paymentEffect) refund(ctx context.Context, id string) (PaymentResult, error) {
	answer := payment.Answer{}
	if r := e.state.Refunds[id]; r.Status == payment.RefundPending {
		port, err := e.port()
		if err != nil {
			return e.result(), err
		}
		answer, err = ask(ctx, e.fresh,
			func() (provider.Outcome, error) { return port.Refund(ctx, e.state.Ref, id, r.Amount) },
			func() (payment.Answer, bool, error) {
				st, err := port.Get(ctx, e.state.Ref)
				_, done := st.Refunds[id]
				return payment.Answer{Accepted: done}, !done, err
			})
		if err != nil {
			return e.result(), err
		}
	}
	err := e.settle(ctx, "refunded", func(s payment.State) ([]payment.Event, error) { return payment.SettleRefund(s, id, answer) })
	result, r := e.result(), e.state.Refunds[id]
	result.Refund = id
	if err == nil && r.Status == payment.RefundRefused {
		result.Code, result.Reason = r.Code, r.Reason
		return result, payment.ErrRefundRefused
	}
	return result, err
}

// ask makes a request whose outcome may stay unknown. If this call stored the intent, it requests at once; otherwise
// somebody may have requested already, so it asks how things stand, and requests only if nothing has happened. A request
// without an answer is looked after once. An outcome that stays unknown is a fault that is worth a retry.
func ask(ctx context.Context, fresh bool, request func() (provider.Outcome, error), get func() (answer payment.Answer, nothing bool, err error)) (payment.Answer, error) {
	if !fresh {
		answer, nothing, err := get()
		if err != nil || !nothing {
			return answer, unknown(err)
		}
	}
	out, err := request()
	if err == nil {
		return payment.Answer{Accepted: out.Accepted, Code: out.Code, Reason: out.Reason}, nil
	}
	if ctx.Err() != nil {
		return payment.Answer{}, unknown(err)
	}
	answer, nothing, asked := get()
	if asked != nil || nothing {
		return payment.Answer{}, unknown(err)
	}
	return answer, nil
}

// orProcessing makes "the provider does not know yet" an unknown outcome.
func orProcessing(err error, st provider.Status) error {
	if err == nil && st.State == provider.Processing {
		return provider.ErrUnknown
	}
	return err
}

// unknown keeps faults that are worth a retry, and makes one of every other: without an answer nothing is decided.
func unknown(err error) error {
	if err == nil || fault.KindOf(err).Retryable() {
		return err
	}
	return fault.Wrap(errorOnly{err}, fault.Unavailable, "PROVIDER_UNAVAILABLE", "the provider can't be asked now; it is tried again")
}

// errorOnly hides a fault's kind from fault.Wrap: here an inner fault does not decide.
type errorOnly struct{ error }

// owner says whose the payment is, for a tombstone: from the command, or else from the order.
func (e *paymentEffect) owner(ctx context.Context, id order.ID, customer string) (payment.Of, error) {
	of := payment.Of{Payment: e.id, Order: string(id), Customer: customer}
	if customer != "" {
		return of, nil
	}
	s, err := findFixed(ctx, e.h, orders, e.r, string(id))
	of.Customer = s.Customer
	return of, err
}
