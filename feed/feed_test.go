package feed

import (
	"testing"
	"time"

	"github.com/annalhq/annal/relay"
)

func TestEventsArriveOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.append(300) // history: caught up
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink)
	w.append(300) // live
	w.converges(sink)
}

func TestAnEventIsAppliedWithinMilliseconds(t *testing.T) {
	w := newWorld(t, 2)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink)
	w.append(20)
	w.converges(sink)
	n := len(sink.wait(w.ctx, 0))
	var took []time.Duration
	for range 50 {
		began := time.Now()
		w.appendTo("order-latency", `{}`)
		n++
		sink.wait(w.ctx, n)
		took = append(took, time.Since(began))
	}
	t.Logf("append to applied: median %v, worst %v", median(took), worst(took))
	if m := median(took); m > 250*time.Millisecond {
		t.Errorf("median from append to applied is %v", m)
	}
}
