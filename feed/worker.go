package feed

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
)

// A worker holds the prefix of one round. Owned by one goroutine.
//
//	done <= tip: everything of S up to done is committed, up to tip it is in events
type worker struct {
	*Consumer
	store  eventstore.StoreID
	done   eventstore.Position // L
	tip    eventstore.Position
	last   uuid.UUID             // id of the last event at or below tip
	events []eventstore.Recorded // of S in (done, tip]
}

// add appends an event of S to the batch. REQUIRES: nothing of S stands between tip and it.
func (w *worker) add(e eventstore.Recorded) {
	w.events = append(w.events, e)
	w.tip, w.last = e.Position, e.ID
}

// move moves the tip. REQUIRES: nothing of S stands between tip and to.
func (w *worker) move(to eventstore.Position) { w.tip = max(w.tip, to) }

func (w *worker) full() bool  { return len(w.events) >= w.cfg.MaxBatch }
func (w *worker) dirty() bool { return w.tip > w.done }

// flush commits the batch, trying again for as long as it takes. Error: ErrCheckpointMoved, Timeout if ctx ended.
func (w *worker) flush(ctx context.Context) error {
	if !w.dirty() {
		return nil
	}
	b := Batch{From: w.done, Events: w.events, To: Checkpoint{Position: w.tip, Last: w.last, Store: w.store, Categories: w.cfg.Categories}}
	if err := w.apply(ctx, b); err != nil {
		return err
	}
	w.metrics.applied(b, time.Now())
	w.done, w.events = w.tip, nil // the sink may keep the slice
	return nil
}

func (w *worker) apply(ctx context.Context, b Batch) error {
	backoff := rabbit.NewBackoff(w.cfg.MinBackoff, w.cfg.MaxBackoff)
	for {
		applying, end := w.startSpan(ctx, b)
		err := w.sink.Apply(applying, b)
		end(err)
		if err == nil || errors.Is(err, ErrCheckpointMoved) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		w.metrics.failures.Inc()
		w.cfg.Logger.ErrorContext(ctx, "feed applies again what was refused", "feed", w.cfg.Name, "from", uint64(b.From), "to", uint64(b.To.Position), "events", len(b.Events), "error", err)
		if !backoff.Wait(ctx) {
			return err
		}
	}
}
