package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/projections"
)

const (
	lagPage = 1000             // events counted at most, of all read models together
	lagKept = time.Second      // for so long one page serves every probe
	lagLate = 10 * time.Second // an unapplied event that old makes a read model degraded
)

// A lag tells readiness how many events each read model has before it. The log is read forwards from the lowest checkpoint of those
// that run, once for all of them and at most lagPage+1 events: a distance of positions would be cheaper and is no count, since
// positions count every event of the log, also those that concern no read model.
type lag struct {
	pool   *pgxpool.Pool
	store  *eventstore.Client
	models []projections.Projection

	turn chan struct{} // holds one while somebody uses what follows; a channel, so that a probe waits with its context
	at   time.Time
	page page
}

// A page is what one look saw.
type page struct {
	standings map[string]projections.Standing
	events    []eventstore.Recorded // of all categories, from the lowest checkpoint on
	full      bool                  // there are more
}

// tellLag adds a check for each read model. It never refuses: what is late is told.
func (d *Daemon) tellLag(pool *pgxpool.Pool, models []projections.Projection) {
	l := &lag{pool: pool, store: d.house.client, models: models, turn: make(chan struct{}, 1)}
	for _, m := range models {
		d.checks = append(d.checks, run.Check{Name: "read model " + m.Name(), Optional: true, Report: func(ctx context.Context) (string, error) {
			p, err := l.look(ctx)
			if err != nil {
				return "", told("how far it is was not seen: the event store", err)
			}
			return p.behind(m, time.Now())
		}})
	}
}

// look returns a page that is at most lagKept old.
func (l *lag) look(ctx context.Context) (page, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return page{}, fault.Wrap(ctx.Err(), fault.Timeout, "READ_MODELS_UNSEEN", "how far the read models are was not seen in time")
	}
	if time.Since(l.at) < lagKept {
		return l.page, nil
	}
	p, err := l.read(ctx)
	if err == nil {
		l.at, l.page = time.Now(), p
	}
	return p, err
}

// read REQUIRES: the turn is taken.
func (l *lag) read(ctx context.Context) (page, error) {
	all, err := projections.Standings(ctx, l.pool)
	if err != nil {
		return page{}, err
	}
	p := page{standings: all}
	var from []eventstore.Position
	for _, s := range all {
		if s.Running() {
			from = append(from, s.Position)
		}
	}
	if len(from) == 0 {
		return p, nil
	}
	for r, err := range l.store.ReadAll(ctx, slices.Min(from), eventstore.Filter{Categories: l.categories()}) {
		if err != nil {
			return page{}, err
		}
		r.Data, r.Metadata = nil, nil // a page is kept
		if p.events = append(p.events, r); len(p.events) > lagPage {
			p.full = true
			break
		}
	}
	return p, nil
}

func (l *lag) categories() []eventstore.Category {
	var all []eventstore.Category
	for _, m := range l.models {
		all = append(all, m.Categories()...)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// behind says how far m is. Faults: READ_MODEL_BEHIND, READ_MODEL_STOPPED, READ_MODEL_UNSEEN.
func (p page) behind(m projections.Projection, now time.Time) (string, error) {
	s, known := p.standings[m.Name()]
	if !known || !s.Running() {
		return "", fault.Newf(fault.Unavailable, "READ_MODEL_STOPPED", "it does not run (%s), and is not counted", cmp.Or(s.Status, "not prepared"))
	}
	count, oldest := 0, now
	for _, r := range p.events {
		if r.Position > s.Position && slices.Contains(m.Categories(), r.Stream.Category()) {
			if count++; count == 1 {
				oldest = r.Created
			}
		}
	}
	text := fmt.Sprintf("%d events behind", count)
	switch {
	case count > lagPage:
		text = "more than 1,000 events behind"
	case p.full && count == 0:
		return "", fault.New(fault.Unavailable, "READ_MODEL_UNSEEN", "not counted yet, another read model is more than 1,000 events behind")
	case p.full:
		text = fmt.Sprintf("at least %d events behind", count)
	}
	if age := now.Sub(oldest); age > lagLate {
		return "", fault.Newf(fault.Unavailable, "READ_MODEL_BEHIND", "%s, the oldest for %v", text, age.Truncate(time.Second))
	}
	return text, nil
}
