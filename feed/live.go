package feed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

// errBehind: the gap is too large to heal while the queue waits.
var errBehind = fault.New(fault.Unavailable, "FEED_BEHIND", "the feed is far behind and catches up from the store")

// live applies what the queue delivers until the consumption ends (rabbit.ErrLost, ErrQuiet), a large gap opens (errBehind), or the
// checkpoint was moved by another process.
func (w *worker) live(ctx context.Context, c *rabbit.Consumption) error {
	l := &liveState{worker: w, acks: c, timer: time.NewTimer(time.Hour), silence: time.NewTimer(w.cfg.Silence)}
	defer l.timer.Stop()
	defer l.silence.Stop()
	deliveries := c.C
	if w.cfg.tap != nil {
		tapping, end := context.WithCancel(ctx)
		defer end()
		deliveries = w.cfg.tap(tapping, deliveries)
	}
	for {
		if err := l.step(ctx, deliveries); err != nil {
			return err
		}
	}
}

// liveState is the state of one consumption.
type liveState struct {
	*worker
	acks    *rabbit.Consumption
	tag     uint64 // of the last delivery taken
	acked   uint64 // everything up to this tag is acknowledged
	waiting bool   // the timer runs
	timer   *time.Timer
	silence *time.Timer
}

func (l *liveState) step(ctx context.Context, deliveries <-chan rabbit.Delivery) error {
	select {
	case d, ok := <-deliveries:
		if !ok {
			return errors.Join(l.acks.Err(), l.flush(ctx)) // what is proven is worth committing
		}
		l.silence.Reset(l.cfg.Silence)
		if err := l.take(ctx, d); err != nil {
			return err
		}
		if l.full() || l.tag-l.acked >= uint64(l.cfg.Prefetch/2) { //nolint:gosec // positive
			return l.commit(ctx)
		}
		if !l.waiting {
			l.waiting = true
			l.timer.Reset(l.cfg.MaxDelay)
		}
		return nil
	case <-l.timer.C:
		return l.commit(ctx)
	case <-l.silence.C:
		l.silence.Reset(l.cfg.Silence)
		return l.askStore(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit applies the batch, then acknowledges all that was taken.
func (l *liveState) commit(ctx context.Context) error {
	l.waiting = false
	l.timer.Stop()
	if err := l.flush(ctx); err != nil {
		return err
	}
	if l.tag == l.acked {
		return nil
	}
	l.acked = l.tag
	return l.acks.AckUpTo(l.tag)
}

// take decides what a message means for the prefix.
func (l *liveState) take(ctx context.Context, d rabbit.Delivery) error {
	l.tag = d.Tag
	m, err := eventstore.DecodeMessage(d.Headers, d.Body)
	switch {
	case err != nil:
		l.metrics.malformed.Inc()
		l.cfg.Logger.WarnContext(ctx, "feed leaves out a message that is not the relay's", "feed", l.cfg.Name, "messageId", d.ID)
		return nil
	case m.Store != l.store:
		l.metrics.foreign.Inc()
		return nil
	}
	switch judge(m, l.tip, l.cfg.Categories) {
	case duplicate:
		l.metrics.duplicates.Inc()
	case proof:
		l.move(m.Event.Position)
		l.metrics.lag.Set(0)
	case next:
		l.add(m.Event)
	case gap:
		return l.heal(ctx, m)
	}
	return nil
}

// A verdict is what a message means for a consumer whose prefix ends at tip.
type verdict int

const (
	ignored   verdict = iota // an event of another category: its position proves nothing that we record
	duplicate                // at or below tip
	proof                    // a watermark: nothing of ours stands between tip and it
	next                     // the next event
	gap                      // something between tip and it is missing, or the message itself is incomplete
)

// judge is the rule of the package comment; docs/messages.md has it for other readers.
func judge(m eventstore.Message, tip eventstore.Position, categories []eventstore.Category) verdict {
	complete := m.After.Last(categories) <= tip
	switch {
	case !m.Watermark && !slices.Contains(categories, m.Event.Stream.Category()):
		return ignored
	case !m.Watermark && m.Event.Position <= tip:
		return duplicate
	case !complete || m.Omitted:
		return gap
	case m.Watermark:
		return proof
	default:
		return next
	}
}
