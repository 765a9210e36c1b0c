package payment_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/internal/money"
)

var (
	of    = payment.Of{Payment: "o1", Order: "o1", Customer: "c1"}
	ten   = money.Of(1000, "GBP")
	yes   = payment.Answer{Accepted: true}
	no    = payment.Answer{Code: "card_declined", Reason: "no"}
	given = map[string][]payment.Event{
		"nothing":     nil,
		"tombstone":   {payment.Voided{Of: of}},
		"authorising": {payment.Opened{Of: of, Amount: ten, Provider: "card", Ref: "r"}, payment.AuthorisationRequested{Of: of}},
	}
)

func fold(events ...payment.Event) payment.State {
	var s payment.State
	for _, e := range events {
		s = payment.Evolve(s, e)
	}
	return s
}

func after(name string, more ...payment.Event) payment.State {
	return fold(append(append([]payment.Event{}, given[name]...), more...)...)
}

func TestDecisions(t *testing.T) {
	authorised := after("authorising", payment.Authorised{Of: of, Amount: ten})
	capturing := after("authorising", payment.Authorised{Of: of, Amount: ten}, payment.CaptureRequested{Of: of})
	captured := after("authorising", payment.Captured{Of: of, Amount: ten})
	voiding := after("authorising", payment.CaptureRequested{Of: of}, payment.VoidRequested{Of: of, Reason: "late"})
	declined := after("authorising", payment.Declined{Of: of, Code: "x", Reason: "y"})
	late := []payment.Event{
		payment.Captured{Of: of, Amount: ten},
		payment.RefundRequested{Of: of, Refund: "o1-void", Amount: ten, Reason: "late"},
	}
	for name, c := range map[string]struct {
		got  func() ([]payment.Event, error)
		want []payment.Event
		err  error
	}{
		"open":                 {func() ([]payment.Event, error) { return payment.Open(payment.State{}, of, ten, "card", "", "r") }, given["authorising"], nil},
		"open what was voided": {func() ([]payment.Event, error) { return payment.Open(after("tombstone"), of, ten, "card", "", "r") }, nil, payment.ErrVoided},
		"open again":           {func() ([]payment.Event, error) { return payment.Open(authorised, of, ten, "card", "", "r") }, nil, nil},
		"open for another amount": {func() ([]payment.Event, error) {
			return payment.Open(authorised, of, money.Of(1, "GBP"), "card", "", "r")
		}, nil, payment.ErrDifferent},
		"settle no":              {func() ([]payment.Event, error) { return payment.SettleAuthorisation(after("authorising"), no) }, []payment.Event{payment.Declined{Of: of, Code: no.Code, Reason: no.Reason}}, nil},
		"settle late":            {func() ([]payment.Event, error) { return payment.SettleAuthorisation(voiding, yes) }, nil, nil},
		"capture unauthorised":   {func() ([]payment.Event, error) { return payment.RequestCapture(after("authorising")) }, nil, payment.ErrNotAuthorised},
		"capture declined":       {func() ([]payment.Event, error) { return payment.RequestCapture(declined) }, nil, payment.ErrDeclined},
		"capture nothing":        {func() ([]payment.Event, error) { return payment.RequestCapture(payment.State{}) }, nil, payment.ErrNotFound},
		"capture":                {func() ([]payment.Event, error) { return payment.RequestCapture(authorised) }, []payment.Event{payment.CaptureRequested{Of: of}}, nil},
		"captured":               {func() ([]payment.Event, error) { return payment.SettleCapture(capturing, yes) }, []payment.Event{payment.Captured{Of: of, Amount: ten}}, nil},
		"captured while voiding": {func() ([]payment.Event, error) { return payment.SettleCapture(voiding, yes) }, late, nil},
		"void finds it captured": {func() ([]payment.Event, error) { return payment.SettleVoid(voiding, false) }, late, nil},
		"void nothing":           {func() ([]payment.Event, error) { return payment.RequestVoid(payment.State{}, of, "") }, given["tombstone"], nil},
		"void captured":          {func() ([]payment.Event, error) { return payment.RequestVoid(captured, of, "late") }, late[1:], nil},
		"void declined":          {func() ([]payment.Event, error) { return payment.RequestVoid(declined, of, "late") }, nil, nil},
		"refund unknown":         {func() ([]payment.Event, error) { return payment.RequestRefund(payment.State{}, "a", ten, "") }, nil, payment.ErrNotFound},
		"refund uncaptured":      {func() ([]payment.Event, error) { return payment.RequestRefund(authorised, "a", ten, "") }, nil, payment.ErrNotCaptured},
		"refund too much": {func() ([]payment.Event, error) {
			return payment.RequestRefund(captured, "a", money.Of(1001, "GBP"), "")
		}, nil, payment.ErrRefundTooMuch},
		"refund in another currency": {func() ([]payment.Event, error) { return payment.RequestRefund(captured, "a", money.Of(1, "EUR"), "") }, nil, money.ErrCurrencyMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.got()
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("fault %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever is asked in whatever order: captured is nothing or everything, no more is given back than was taken, what is
// final stays, and Evolve leaves the state before it alone.
func TestMoneyIsNeverMadeOrLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s payment.State
		answer := rapid.SampledFrom([]payment.Answer{yes, no})
		t.Repeat(map[string]func(*rapid.T){
			"open":    step(&s, func(*rapid.T) ([]payment.Event, error) { return payment.Open(s, of, ten, "card", "t", "r") }),
			"fail":    step(&s, func(*rapid.T) ([]payment.Event, error) { return payment.FailToOpen(s, of, no) }),
			"settle":  step(&s, func(t *rapid.T) ([]payment.Event, error) { return payment.SettleAuthorisation(s, answer.Draw(t, "a")) }),
			"capture": step(&s, func(*rapid.T) ([]payment.Event, error) { return payment.RequestCapture(s) }),
			"take":    step(&s, func(t *rapid.T) ([]payment.Event, error) { return payment.SettleCapture(s, answer.Draw(t, "a")) }),
			"void":    step(&s, func(*rapid.T) ([]payment.Event, error) { return payment.RequestVoid(s, of, "r") }),
			"end":     step(&s, func(t *rapid.T) ([]payment.Event, error) { return payment.SettleVoid(s, rapid.Bool().Draw(t, "ended")) }),
			"refund": step(&s, func(t *rapid.T) ([]payment.Event, error) {
				return payment.RequestRefund(s, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id"), money.Of(rapid.Int64Range(-5, 1100).Draw(t, "n"), "GBP"), "r")
			}),
			"give": step(&s, func(t *rapid.T) ([]payment.Event, error) {
				return payment.SettleRefund(s, rapid.SampledFrom([]string{"a", "b", "c", "o1-void"}).Draw(t, "id"), answer.Draw(t, "a"))
			}),
			"": func(t *rapid.T) {
				if c := s.Captured.Minor; c != 0 && c != ten.Minor {
					t.Fatalf("captured %v of %v", s.Captured, ten)
				}
				if s.Left().Minor < 0 || s.Refunded().Minor > s.Captured.Minor {
					t.Fatalf("refunds %v of %v", s.Refunds, s.Captured)
				}
			},
		})
	})
}

func step(s *payment.State, decide func(*rapid.T) ([]payment.Event, error)) func(*rapid.T) {
	return func(t *rapid.T) {
		events, err := decide(t)
		if err != nil && len(events) > 0 {
			t.Fatalf("refused with %v and decided %v", err, events)
		}
		for _, e := range events {
			before := *s
			*s = payment.Evolve(*s, e)
			if before.Status.Final() && s.Status != before.Status {
				t.Fatalf("%s is final and became %s", before.Status, s.Status)
			}
		}
	}
}

func TestEvolveLeavesTheOldStateAlone(t *testing.T) {
	s := after("authorising", payment.Captured{Of: of, Amount: ten}, payment.RefundRequested{Of: of, Refund: "a", Amount: ten})
	_ = payment.Evolve(s, payment.Refunded{Of: of, Refund: "a", Amount: ten})
	if s.Refunds["a"].Status != payment.RefundPending {
		t.Errorf("the old state became %v", s.Refunds)
	}
}
