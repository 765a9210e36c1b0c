package sagas_test

import (
	"context"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/sagas"
)

// What the first timers of a flood set in motion sets timers of its own, later ones: they must not put off those that are due. After
// an outage of the broker every saga under way is such a timer.
func TestTimersThatAreDueAreNotPutOffByLaterOnes(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 200)
	_, stop := w.process(sagas.Config{Retry: time.Hour})
	var ids []order.ID
	for range 60 {
		ids = append(ids, w.place(payment.TokenOK, "a"))
	}
	stop()
	w.wipe()
	_, err := w.pool.Exec(context.Background(), `UPDATE saga SET due = now() - interval '1 hour' WHERE due IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	const retry = 5 * time.Second
	began := time.Now()
	w.process(sagas.Config{Retry: retry, ResendRate: 20}) // two at a time
	for id, last := range w.ends(ids...) {
		if last != fulfilment.TypeCompleted {
			t.Errorf("%s ended with %s", id, last)
		}
	}
	// Put off, they would need 30 retries.
	if took := time.Since(began); took > 8*retry {
		t.Errorf("60 sagas ended after %s", took)
	}
}
