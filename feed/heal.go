package feed

import (
	"context"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

// errStoreLags: the broker knows of events that the store doesn't show (yet).
var errStoreLags = fault.New(fault.Unavailable, "FEED_STORE_LAGS", "the store does not show an event that the broker has delivered; try again")

// healAttempts bounds how often a lagging store is asked before the round begins again.
const healAttempts = 8

// heal reads what is missing from the store, up to the message's own position, and applies that; the message is a duplicate
// then, since the store's word counts. A watermark needs healing up to what stands before it and moves the tip afterwards.
func (l *liveState) heal(ctx context.Context, m eventstore.Message) error {
	until := m.Event.Position
	if m.Watermark {
		until = m.After.Last(l.cfg.Categories)
	}
	backoff := rabbit.NewBackoff(l.cfg.MinBackoff, l.cfg.MaxBackoff)
	for range healAttempts {
		reached, err := l.healOnce(ctx, until)
		if err != nil {
			return err
		}
		if reached {
			if m.Watermark {
				l.move(m.Event.Position)
			}
			return nil
		}
		if !backoff.Wait(ctx) {
			return ctx.Err()
		}
	}
	return errStoreLags
}

// healOnce reports whether the store showed an event at or beyond until.
func (l *liveState) healOnce(ctx context.Context, until eventstore.Position) (reached bool, err error) {
	if l.tip >= until {
		return true, nil
	}
	healed := 0
	for e, err := range l.Consumer.store.ReadAll(ctx, l.tip, eventstore.Filter{Categories: l.cfg.Categories}) {
		if err != nil {
			return false, err
		}
		if healed++; healed > l.cfg.HealLimit {
			return false, errBehind
		}
		l.metrics.healed.Inc()
		l.add(e)
		if l.full() {
			if err := l.flush(ctx); err != nil {
				return false, err
			}
		}
		if e.Position >= until {
			return true, nil
		}
	}
	return false, nil
}

// askStore runs when nothing was delivered for a while, not even a watermark: the relay or the queue may be dead, or another
// process is the queue's active consumer. If the checkpoint moves, somebody else does the work.
func (l *liveState) askStore(ctx context.Context) error {
	cp, err := l.sink.Checkpoint(ctx)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "FEED_CHECKPOINT_UNREADABLE", "the checkpoint can't be read; try again")
	}
	switch {
	case cp.Position < l.done:
		return ErrCheckpointMoved // the sink was restored to an older state
	case cp.Position > l.done:
		l.done, l.tip, l.last, l.events = cp.Position, cp.Position, cp.Last, nil
		return nil
	}
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	if l.done > cp.Position {
		return rabbit.ErrQuiet // there were events and the queue didn't deliver them: consume it afresh
	}
	return nil
}
