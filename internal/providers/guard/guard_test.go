package guard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/providers/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = fault.New(fault.Unavailable, "AWAY", "away")

func answer(v int, err error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return v, err }
}

func TestAProviderThatDoesNotAnswerIsGivenARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []string
		g := guard.New("card", guard.Config{Failures: 3, Rest: time.Minute, OnChange: func(_, _, to string) { states = append(states, to) }})
		for range 3 {
			if _, err := guard.Call(t.Context(), g, answer(0, errAway)); !errors.Is(err, errAway) {
				t.Fatal(err)
			}
		}
		asked := false
		_, err := guard.Call(t.Context(), g, func(context.Context) (int, error) { asked = true; return 1, nil })
		if !errors.Is(err, guard.ErrOpen) || asked || !fault.KindOf(err).Retryable() {
			t.Errorf("while it rests: %v, asked %t", err, asked)
		}
		time.Sleep(time.Minute + time.Second)
		if v, err := guard.Call(t.Context(), g, answer(7, nil)); v != 7 || err != nil || g.State() != "closed" {
			t.Errorf("after the rest: %d, %v, %s, %v", v, err, g.State(), states)
		}
	})
}

func TestACallHasATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard.New("card", guard.Config{Timeout: time.Second})
		_, err := guard.Call(t.Context(), g, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		if !errors.Is(err, guard.ErrTimeout) {
			t.Error(err)
		}
	})
}

func TestRefusalsAndCallersThatGiveUpAreNoFailures(t *testing.T) {
	g := guard.New("card", guard.Config{Failures: 1})
	refused := fault.New(fault.Invalid, "REFUSED", "no")
	if _, err := guard.Call(t.Context(), g, answer(0, refused)); !errors.Is(err, refused) {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := guard.Call(gone, g, answer(0, context.Canceled)); fault.KindOf(err) != fault.Timeout {
		t.Error(err)
	}
	if g.State() != "closed" {
		t.Errorf("the breaker is %s", g.State())
	}
}
