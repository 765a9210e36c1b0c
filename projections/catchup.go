package projections

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
)

// History reads the store's events of from.Categories behind from, in order, and hands them to apply in batches, the last of
// which reaches at least the store's end at the time of the call.
type History func(ctx context.Context, from feed.Checkpoint, apply func(context.Context, feed.Batch) error) error

var errLeft = errors.New("the projection left its group")

const (
	firstPause = 100 * time.Millisecond
	longPause  = 15 * time.Second
)

// Run catches projections up that are behind their group, until ctx ends. It needs no leadership: only who applies batches
// finds somebody behind, and checkpoints guard the rest.
func (p *Projector) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		for _, m := range p.laggards() {
			p.bringUp(ctx, m)
		}
	}
}

// RunToEnd applies the store's whole history to its present end, without a broker, and returns when every running
// projection is there: for tests, the tool and rebuilds.
func (p *Projector) RunToEnd(ctx context.Context) error {
	from, err := p.Checkpoint(ctx)
	if err != nil {
		return err
	}
	for _, m := range p.foremostAnd(from.Position) {
		if err := p.catchUp(ctx, m); err != nil {
			return err
		}
	}
	return p.cfg.History(ctx, from, p.Apply)
}

// foremostAnd marks the running members behind position as catching up and returns them.
func (p *Projector) foremostAnd(position eventstore.Position) []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var behind []*member
	for _, m := range p.members {
		if m.running() && m.position < position {
			m.catching = true
			behind = append(behind, m)
		}
	}
	return behind
}

func (p *Projector) laggards() []*member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var behind []*member
	for _, m := range p.members {
		if m.catching {
			behind = append(behind, m)
		}
	}
	return behind
}

// bringUp tries until the member is at the store's end, has left the group, or ctx ends.
func (p *Projector) bringUp(ctx context.Context, m *member) {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := p.catchUp(ctx, m)
		if err == nil || ctx.Err() != nil {
			return
		}
		p.cfg.Logger.WarnContext(ctx, "projection can't catch up yet", "projection", m.name, "version", m.version, "error", err)
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// catchUp applies the store's history to one member that is nobody else's (catching). Whether it has caught up with its group
// the next batch tells.
func (p *Projector) catchUp(ctx context.Context, m *member) error {
	p.mu.Lock()
	group := p.foremost(func(*member) bool { return true })
	proven := eventstore.Position(0)
	if group != nil {
		proven = group.position
	}
	p.mu.Unlock()
	if err := p.lookUp(ctx, m); err != nil {
		return err
	}
	from := feed.Checkpoint{Position: m.position, Last: m.last, Store: m.store, Categories: m.Categories()}
	seen := from
	apply := func(ctx context.Context, b feed.Batch) error {
		seen = b.To
		switch {
		case !m.running():
			return errLeft
		case m.store != "" && m.store != b.To.Store:
			return feed.ErrForeignStore
		case m.position >= b.To.Position:
			return nil
		}
		return p.applyTo(ctx, []*member{m}, b)
	}
	err := p.cfg.History(ctx, from, apply)
	if err == nil && seen.Position < proven {
		// The group stood there before the store was read to its end: nothing up to there can be missing.
		b := feed.Batch{From: seen.Position, To: seen}
		b.To.Position = proven
		err = apply(ctx, b)
	}
	if err != nil && !errors.Is(err, errLeft) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.catching = false
	return nil
}

// FromStore is the history of a store in batches of maxBatch events.
func FromStore(store *eventstore.Client, maxBatch int) History {
	return func(ctx context.Context, from feed.Checkpoint, apply func(context.Context, feed.Batch) error) error {
		id, err := store.Identity(ctx)
		if err != nil {
			return err
		}
		at := feed.Checkpoint{Position: from.Position, Last: from.Last, Store: id, Categories: from.Categories}
		_, err = feed.CatchUp(ctx, store, from.Position, from.Categories, maxBatch,
			func(ctx context.Context, events []eventstore.Recorded, to eventstore.Position) error {
				b := feed.Batch{From: at.Position, To: at, Events: events}
				if b.To.Position = to; len(events) > 0 {
					b.To.Last = events[len(events)-1].ID
				}
				at = b.To
				return apply(ctx, b)
			})
		return err
	}
}
