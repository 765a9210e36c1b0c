package commands

import (
	"fmt"
	"sync"
	"testing"

	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/internal/fault"
	provider "github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/providers/simulator"
)

// Two processes take, and a third undoes, the same payment at the same time, while answers are lost. Whoever wins: what was
// taken is given back, nothing stays held, and both books say the same.
func TestTakingAndUndoingAtOnce(t *testing.T) {
	w := newWorld(t)
	taking, undoing := []staffed{w.start(t), w.start(t)}, w.start(t)
	undoing.stocked(t)
	outcomes := map[payment.Status]int{}
	for n := range 24 {
		o := undoing.ordered(t, fmt.Sprint("race", n))
		for i, s := range append(taking, undoing) {
			op := []string{provider.OpAuthorise, provider.OpCapture, provider.OpCancel}[(n+i)%3]
			s.card.Faults.Set(op, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
		}
		var calls sync.WaitGroup
		for _, s := range taking {
			calls.Go(func() {
				if insist(t, func() error {
					_, err := s.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
					return err
				}) == nil {
					insist(t, func() error { _, err := s.CapturePayment(t.Context(), operator, capture(o)); return err })
				}
			})
		}
		calls.Go(func() {
			if n%3 == 0 { // let it be held first
				insist(t, func() error {
					_, err := undoing.AuthorisePayment(t.Context(), operator, authorise(o, provider.TokenOK))
					return err
				})
			}
			if err := insist(t, func() error { _, err := undoing.VoidPayment(t.Context(), operator, void(o)); return err }); err != nil {
				t.Errorf("undoing: %v", err)
			}
		})
		calls.Wait()
		s, _, err := look(t.Context(), undoing.Handlers, payments, request{}, string(o.Order), closeLook)
		must(t, err)
		if s.Captured.Minor != s.Refunded().Minor || !s.Status.Final() {
			t.Errorf("%s: %v taken, %v given back", s.Status, s.Captured, s.Refunded())
		}
		outcomes[s.Status]++
	}
	undoing.agree(t)
	books, err := undoing.card.Payments()
	must(t, err)
	for _, b := range books {
		if b.Status.State == provider.Authorised {
			t.Errorf("%s is still held", b.Key)
		}
	}
	t.Log(outcomes)
}

// insist repeats a command while its outcome is unknown, as a saga does.
func insist(t *testing.T, command func() error) error {
	var err error
	for range 50 {
		if err = command(); err == nil || !fault.KindOf(err).Retryable() {
			return err
		}
	}
	t.Errorf("still unknown: %v", err)
	return err
}
