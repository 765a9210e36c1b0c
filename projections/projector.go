package projections

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
)

// Config tunes a projector.
type Config struct {
	Projections []Projection  // the group; required
	History     History       // for projections that are behind their group; required
	RetryFailed time.Duration // a failed projection is tried again after so long; default 30 s
	Logger      *slog.Logger  // default: discards

	// Decode reads an event's body; default aggregates.Decode.
	Decode func(eventType string, data []byte) (any, error)
	// Failpoint, if set, is asked at "loaded", "folded" and "committed"; an error stops the projector there as a kill would. Tests only.
	Failpoint func(point string) error
}

// Projector applies the batches of one queue to a group of projections. Apply and Checkpoint are for one feed at a time;
// any number of projectors may run, on the same or on other machines: one that is overtaken changes nothing.
type Projector struct {
	pool *pgxpool.Pool
	cfg  Config
	wake chan struct{} // somebody fell behind; Run catches up

	mu      sync.Mutex // guards what follows, and a member that is not catching up
	members []*member
	known   bool      // members hold what the catalogue says
	lookAt  time.Time // when to look again for one that was resumed
}

var (
	errIncomplete = fault.New(fault.Invalid, "CONFIG_INCOMPLETE", "a projector needs a pool, projections and a history")
	errNobody     = fault.New(fault.Unavailable, "PROJECTIONS_PAUSED", "no projection of the group takes events now: paused, failed or catching up")
)

// New returns a projector for a prepared database (Prepare). Fault: CONFIG_INCOMPLETE.
func New(pool *pgxpool.Pool, cfg Config) (*Projector, error) {
	if pool == nil || len(cfg.Projections) == 0 || cfg.History == nil {
		return nil, errIncomplete
	}
	if cfg.RetryFailed == 0 {
		cfg.RetryFailed = 30 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Decode == nil {
		cfg.Decode = aggregates.Decode
	}
	failpoint := cfg.Failpoint
	cfg.Failpoint = func(point string) error { // a kill looks like a lost connection
		if failpoint == nil {
			return nil
		}
		return fault.Wrap(failpoint(point), fault.Unavailable, "FAILPOINT", "stopped there by a test")
	}
	p := &Projector{pool: pool, cfg: cfg, wake: make(chan struct{}, 1)}
	for _, projection := range cfg.Projections {
		p.members = append(p.members, &member{Projection: projection})
	}
	return p, nil
}

// Categories returns the categories of the group, sorted: what its queue binds.
func (p *Projector) Categories() []eventstore.Category {
	var all []eventstore.Category
	for _, m := range p.members {
		all = append(all, m.categories...)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// Checkpoint returns where the group stands: with its foremost running projection. Those behind it catch up from the store.
// Faults: feed.ErrForeignStore, PROJECTION_NOT_PREPARED, POSTGRES_UNAVAILABLE.
func (p *Projector) Checkpoint(ctx context.Context) (feed.Checkpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.look(ctx); err != nil {
		return feed.Checkpoint{}, err
	}
	foremost := p.foremost((*member).running)
	if foremost == nil { // all paused: the feed shall find its place, and Apply makes it wait
		foremost = p.foremost(func(*member) bool { return true })
	}
	if foremost == nil {
		return feed.Checkpoint{}, errNobody
	}
	c := feed.Checkpoint{Position: foremost.position, Store: foremost.store, Categories: p.Categories()}
	for _, m := range p.members {
		switch {
		case m.catching || m.store == "":
		case c.Store == "":
			c.Store = m.store
		case m.store != c.Store:
			return feed.Checkpoint{}, feed.ErrForeignStore.Because("projection %s was made from another event store than its group; "+postgres.BeginAnew, m.name)
		}
		// Only who was fed with just these categories knows their last event.
		if !m.catching && m.position == c.Position && slices.Equal(m.feedOf, c.Categories) {
			c.Last = m.feedLast
		}
	}
	return c, nil
}

// foremost returns the member with the highest position among those that are wanted and not catching up, nil if none is.
func (p *Projector) foremost(wanted func(*member) bool) (first *member) {
	for _, m := range p.members {
		if !m.catching && wanted(m) && (first == nil || m.position > first.position) {
			first = m
		}
	}
	return first
}

// Apply applies a batch to every projection of the group that it concerns. It may be repeated: what a projection has
// already is left out. Faults: feed.ErrCheckpointMoved, PROJECTIONS_PAUSED, POSTGRES_UNAVAILABLE.
func (p *Projector) Apply(ctx context.Context, b feed.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known || p.mayResume() {
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	ready, err := p.ready(b)
	if err == nil && len(ready) > 0 {
		err = p.applyTo(ctx, ready, b)
	}
	if errors.Is(err, feed.ErrCheckpointMoved) {
		p.known = false
	}
	return err
}

// applyTo applies together if that works, otherwise projection by projection, so that the cause is found where it is.
func (p *Projector) applyTo(ctx context.Context, members []*member, b feed.Batch) error {
	events := decode(p.cfg.Decode, b.Events)
	err := p.together(ctx, members, b, events)
	if err == nil || severity(err) <= transient {
		return refusal(err)
	}
	for _, m := range members {
		err := p.together(ctx, []*member{m}, b, events)
		if err != nil && severity(err) == dataRefused {
			err = p.isolate(ctx, m, b, events)
		}
		if err != nil && severity(err) > transient {
			err = p.expel(ctx, m, err)
		}
		if err != nil {
			return refusal(err)
		}
	}
	return nil
}

// ready returns the members that the batch moves; those that are behind it begin to catch up.
func (p *Projector) ready(b feed.Batch) ([]*member, error) {
	foremost := p.foremost((*member).running)
	switch {
	case foremost == nil:
		return nil, errNobody
	case foremost.position < b.From:
		return nil, feed.ErrCheckpointMoved // the database is at an older state than the feed believes
	}
	var ready []*member
	for _, m := range p.members {
		switch {
		case !m.running() || m.catching || m.position >= b.To.Position:
		case m.store != "" && m.store != b.To.Store:
			return nil, feed.ErrCheckpointMoved // the feed looks at the checkpoint again and refuses the store
		case m.position < b.From:
			m.catching = true
			select {
			case p.wake <- struct{}{}:
			default:
			}
		default:
			ready = append(ready, m)
		}
	}
	return ready, nil
}

// mayResume reports whether it is time to see if somebody resumed what was paused or failed.
func (p *Projector) mayResume() bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return !m.running() }) && time.Now().After(p.lookAt)
}
