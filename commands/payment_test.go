package commands

import (
	"testing"

	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	provider "github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/providers/simulator"
)

var nineGBP = money.Of(900, "GBP")

func authorise(o PlacedOrder, token string) AuthorisePayment {
	return AuthorisePayment{Meta: Meta{IdempotencyKey: "auth-" + string(o.Order)}, Order: o.Order, Customer: "ada", Amount: nineGBP, Provider: "card", Token: token}
}

func capture(o PlacedOrder) CapturePayment {
	return CapturePayment{Meta: Meta{IdempotencyKey: "capture-" + string(o.Order)}, Order: o.Order}
}

func void(o PlacedOrder) VoidPayment {
	return VoidPayment{Meta: Meta{IdempotencyKey: "void-" + string(o.Order)}, Order: o.Order, Reason: "undone"}
}

// A command that comes again after a crash, to another process, goes on from where the first one died.
func TestPaymentIsTakenOnceWhateverHappens(t *testing.T) {
	w := newWorld(t)
	a := w.start(t)
	a.stocked(t)
	lost := simulator.Fault{Mode: simulator.ErrorAfterSuccess}
	dead := simulator.Fault{Mode: simulator.Down}
	for name, faults := range map[string]map[string]simulator.Fault{
		"nothing goes wrong":                       {},
		"killed after the intent to authorise":     {provider.OpAuthorise: dead, provider.OpGet: dead},
		"killed after the authorisation":           {provider.OpAuthorise: lost, provider.OpGet: dead},
		"the answer to the authorisation is lost":  {provider.OpAuthorise: lost},
		"killed after the payment was opened":      {provider.OpOpen: lost},
		"killed after the intent to capture":       {provider.OpCapture: dead, provider.OpGet: dead},
		"killed after the capture":                 {provider.OpCapture: lost, provider.OpGet: dead},
		"the answer to the capture is lost":        {provider.OpCapture: lost},
		"the provider is down for the whole order": {provider.OpOpen: dead},
	} {
		t.Run(name, func(t *testing.T) {
			o := a.ordered(t, nameKey(name))
			for op, x := range faults {
				a.card.Faults.Set(op, x)
			}
			_, first := a.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
			if first != nil && !fault.KindOf(first).Retryable() {
				t.Fatalf("an unknown outcome must be worth a retry, not %v", first)
			}
			if first == nil {
				if _, err := a.CapturePayment(t.Context(), operator, capture(o)); err != nil && !fault.KindOf(err).Retryable() {
					t.Fatalf("an unknown outcome must be worth a retry, not %v", err)
				}
			}
			a.card.Faults.Lift()
			b := w.start(t) // the commands come again, to another process
			_, err := b.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
			must(t, err)
			done, err := b.CapturePayment(t.Context(), operator, capture(o))
			must(t, err)
			equal(t, done.Status, payment.StatusCaptured)
			equal(t, done.Captured, nineGBP)
			again, err := a.CapturePayment(t.Context(), operator, capture(o))
			must(t, err)
			equal(t, again.Revision, done.Revision)
			b.agree(t)
		})
	}
}

func nameKey(name string) string { return deriveID("test", name) }

func TestRefusalsOfTheCardAreFinal(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	for token, want := range map[string]string{provider.TokenDeclined: "card_declined", provider.TokenInsufficient: "insufficient_funds", "tok_nobody_knows": "unknown_token"} {
		o := s.ordered(t, token)
		for range 2 {
			got, err := s.AuthorisePayment(t.Context(), operator, authorise(o, token))
			refusal(t, err, payment.ErrDeclined)
			equal(t, got.Code, want)
			equal(t, got.Status, payment.StatusDeclined)
		}
		_, err := s.CapturePayment(t.Context(), operator, capture(o))
		refusal(t, err, payment.ErrDeclined)
		got, err := s.VoidPayment(t.Context(), operator, void(o))
		must(t, err)
		equal(t, got.Status, payment.StatusDeclined)
	}
	o := s.ordered(t, "capture-declined")
	_, err := s.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenCaptureDeclined))
	must(t, err)
	_, err = s.CapturePayment(t.Context(), operator, capture(o))
	refusal(t, err, payment.ErrFailed)
	s.agree(t)
}

func TestVoidUndoesWhateverTookEffect(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	lost, dead := simulator.Fault{Mode: simulator.ErrorAfterSuccess}, simulator.Fault{Mode: simulator.Down}
	for name, c := range map[string]struct {
		faults map[string]simulator.Fault
		status payment.Status
	}{
		"held":                        {nil, payment.StatusVoided},
		"nobody knows whether held":   {map[string]simulator.Fault{provider.OpAuthorise: lost, provider.OpGet: dead}, payment.StatusVoided},
		"never asked":                 {map[string]simulator.Fault{provider.OpAuthorise: dead, provider.OpGet: dead}, payment.StatusVoided},
		"nobody knows whether taken":  {map[string]simulator.Fault{provider.OpCapture: lost, provider.OpGet: dead}, payment.StatusCaptured},
		"asked to take, and not done": {map[string]simulator.Fault{provider.OpCapture: dead, provider.OpGet: dead}, payment.StatusVoided},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.ordered(t, nameKey(name))
			for op, x := range c.faults {
				s.card.Faults.Set(op, x)
			}
			if _, err := s.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK)); err == nil && name != "held" {
				_, err = s.CapturePayment(t.Context(), operator, capture(o))
				if !fault.KindOf(err).Retryable() {
					t.Fatalf("the capture's outcome is unknown, not %v", err)
				}
			}
			s.card.Faults.Lift()
			s.card.Faults.Set(provider.OpCancel, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
			s.card.Faults.Set(provider.OpRefund, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
			if _, err := s.VoidPayment(t.Context(), operator, void(o)); err != nil && !fault.KindOf(err).Retryable() {
				t.Fatal(err)
			}
			s.card.Faults.Lift()
			got, err := w.start(t).VoidPayment(t.Context(), operator, void(o))
			must(t, err)
			equal(t, got.Status, c.status)
			equal(t, got.Captured.Minor, got.Refunded.Minor)
			_, err = s.CapturePayment(t.Context(), operator, CapturePayment{Order: o.Order})
			refusal(t, err, payment.ErrVoided)
			s.agree(t)
		})
	}
}

func TestATombstoneRefusesThePaymentThatComesLater(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	got, err := s.VoidPayment(t.Context(), operator, void(o))
	must(t, err)
	equal(t, got.Status, payment.StatusVoided)
	_, err = s.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
	refusal(t, err, payment.ErrVoided)
	books, err := s.card.Payments()
	must(t, err)
	for _, b := range books {
		if b.Status.State == provider.Authorised {
			t.Errorf("%s is held", b.Key)
		}
	}
}

func TestRefundsStayWithinWhatWasTaken(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	_, err := s.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
	must(t, err)
	_, err = s.RefundPayment(t.Context(), operator, RefundPayment{Order: o.Order, Refund: "r1", Amount: nineGBP})
	refusal(t, err, payment.ErrNotCaptured)
	_, err = s.CapturePayment(t.Context(), operator, capture(o))
	must(t, err)
	part := RefundPayment{Meta: Meta{IdempotencyKey: "r1"}, Order: o.Order, Refund: "r1", Amount: money.Of(400, "GBP"), Reason: "broken"}
	s.card.Faults.Set(provider.OpRefund, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
	s.card.Faults.Set(provider.OpGet, simulator.Fault{Mode: simulator.Down, Times: 1})
	if _, err := s.RefundPayment(t.Context(), operator, part); !fault.KindOf(err).Retryable() {
		t.Errorf("an unknown refund must be worth a retry, not %v", err)
	}
	got, err := w.start(t).RefundPayment(t.Context(), operator, part)
	must(t, err)
	equal(t, got.Refunded, money.Of(400, "GBP"))
	_, err = s.RefundPayment(t.Context(), operator, RefundPayment{Order: o.Order, Refund: "r2", Amount: money.Of(501, "GBP")})
	refusal(t, err, payment.ErrRefundTooMuch)
	_, err = s.RefundPayment(t.Context(), operator, RefundPayment{Order: o.Order, Refund: "r1", Amount: money.Of(1, "GBP")})
	refusal(t, err, payment.ErrRefundReused)
	s.card.Faults.Set(provider.OpRefund, simulator.Fault{Mode: simulator.Decline, Times: 1})
	_, err = s.RefundPayment(t.Context(), operator, RefundPayment{Order: o.Order, Refund: "r3", Amount: money.Of(500, "GBP")})
	refusal(t, err, payment.ErrRefundRefused)
	s.agree(t)
}
