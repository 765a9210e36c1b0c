package payment_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/providers/simulator"
)

var ten = money.Of(1000, "GBP")

func open(t testing.TB, path string) *payment.Simulator {
	t.Helper()
	s, err := payment.NewSimulator(payment.SimulatorConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTheBooksAreSharedAndSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "books", "payments.jsonl")
	a, b := open(t, path), open(t, path)
	ref, err := a.Open(t.Context(), "o1", ten, payment.TokenOK)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.Open(t.Context(), "o1", ten, payment.TokenOK); err != nil || again != ref {
		t.Errorf("opened again: %q, %v", again, err)
	}
	for range 2 {
		if out, err := b.Authorise(t.Context(), ref); err != nil || !out.Accepted {
			t.Fatalf("authorise: %v, %v", out, err)
		}
		if out, err := a.Capture(t.Context(), ref); err != nil || !out.Accepted {
			t.Fatalf("capture: %v, %v", out, err)
		}
	}
	if out, err := b.Cancel(t.Context(), ref); err != nil || out.Code != payment.CodeCaptured {
		t.Errorf("cancelled what was captured: %v, %v", out, err)
	}
	tear(t, path) // killed in the middle of a line
	want, err := a.Payments()
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(t, path).Payments()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 1 || got[0].Authorisations != 1 || got[0].Captures != 1 {
		t.Errorf("%v %s", got, diff)
	}
}

func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"op":"cancel","ref":`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFaults(t *testing.T) {
	for mode, c := range map[simulator.Mode]struct {
		err   error
		state payment.State
	}{
		simulator.Timeout:           {payment.ErrUnknown, payment.Open},
		simulator.Down:              {simulator.ErrDown, payment.Open},
		simulator.ErrorAfterSuccess: {payment.ErrUnknown, payment.Authorised},
		simulator.Slow:              {nil, payment.Authorised},
		simulator.Decline:           {nil, payment.Declined},
	} {
		s := open(t, "")
		ref, err := s.Open(t.Context(), "o1", ten, payment.TokenOK)
		if err != nil {
			t.Fatal(err)
		}
		s.Faults.Set(payment.OpAuthorise, simulator.Fault{Mode: mode, Times: 1})
		if _, err := s.Authorise(t.Context(), ref); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", mode, err)
		}
		if st, err := s.Get(t.Context(), ref); err != nil || st.State != c.state {
			t.Errorf("%s: %v, %v", mode, st, err)
		}
	}
	if _, err := open(t, "").Get(t.Context(), "nothing"); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("an unknown reference: %v", err)
	}
}

// Whatever is asked: one authorisation, one capture, never more back than was taken, and a cancelled payment stays so.
func TestTheProviderKeepsItsOwnRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := payment.NewSimulator(payment.SimulatorConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := s.Open(t.Context(), "o1", ten, rapid.SampledFrom([]string{payment.TokenOK, payment.TokenDeclined, payment.TokenCaptureDeclined}).Draw(t, "token"))
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			switch rapid.IntRange(0, 3).Draw(t, "call") {
			case 0:
				_, err = s.Authorise(t.Context(), ref)
			case 1:
				_, err = s.Capture(t.Context(), ref)
			case 2:
				_, err = s.Cancel(t.Context(), ref)
			case 3:
				_, err = s.Refund(t.Context(), ref, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), money.Of(rapid.Int64Range(-1, 1001).Draw(t, "n"), "GBP"))
			}
			books, failed := s.Payments()
			if err != nil || failed != nil {
				t.Fatal(err, failed)
			}
			b, refunded := books[0], int64(0)
			for _, r := range b.Status.Refunds {
				refunded += r.Minor
			}
			if b.Authorisations > 1 || b.Captures > 1 || refunded > b.Status.Captured.Minor || ended && b.Status.State != payment.Cancelled {
				t.Fatalf("%+v", b)
			}
			ended = b.Status.State == payment.Cancelled
		}
	})
}
