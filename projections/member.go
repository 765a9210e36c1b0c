package projections

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// Signal is the channel of LISTEN that tells that checkpoints moved. It says no more: whoever waits reads the catalogue.
const Signal = "annal_projections"

const lookAgain = time.Second

// member is a projection of the group with its checkpoint as last read or written.
type member struct {
	Projection
	catalogued
	catching bool // Run has it: it catches up from the store

	closed map[string]bool // parked streams
	behind map[string]bool // parked rows
}

// catalogued is a row of projections.checkpoints.
type catalogued struct {
	generation   int64
	position     eventstore.Position
	last         uuid.UUID
	lastPosition eventstore.Position
	store        eventstore.StoreID
	status       string
	parked       int64
	feedLast     uuid.UUID             // the last event at or below position of
	feedOf       []eventstore.Category // these categories
}

func (m *member) running() bool { return m.status == "running" }

// look reads the catalogue for all members that are not catching up, and tries again what failed long enough ago.
func (p *Projector) look(ctx context.Context) error {
	p.known, p.lookAt = false, time.Now().Add(lookAgain)
	if err := p.retryFailed(ctx); err != nil {
		return err
	}
	for _, m := range p.members {
		if m.catching {
			continue
		}
		if err := p.lookUp(ctx, m); err != nil {
			return err
		}
	}
	p.known = true
	return nil
}

func (p *Projector) lookUp(ctx context.Context, m *member) error {
	const sql = `SELECT generation, position, last, last_position, store, status, parked, feed_last, feed_of FROM projections.checkpoints WHERE name = $1 AND version = $2`
	var c catalogued
	err := p.pool.QueryRow(ctx, sql, m.name, m.version).
		Scan(&c.generation, &c.position, &c.last, &c.lastPosition, &c.store, &c.status, &c.parked, &c.feedLast, &c.feedOf)
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.Newf(fault.Internal, "PROJECTION_NOT_PREPARED", "projection %s is not in the catalogue; the database was not prepared", m.name)
	}
	if err != nil {
		return unavailable(err)
	}
	m.catalogued, m.closed, m.behind = c, map[string]bool{}, map[string]bool{}
	if c.parked == 0 {
		return nil
	}
	return p.lookForParked(ctx, m)
}

func (p *Projector) lookForParked(ctx context.Context, m *member) error {
	const sql = `SELECT DISTINCT scope, key FROM projections.parked WHERE name = $1 AND version = $2`
	rows, err := p.pool.Query(ctx, sql, m.name, m.version)
	if err != nil {
		return unavailable(err)
	}
	var scope, key string
	_, err = pgx.ForEachRow(rows, []any{&scope, &key}, func() error {
		m.park(scope, key)
		return nil
	})
	return unavailable(err)
}

func (m *member) park(scope, key string) {
	if scope == "stream" {
		m.closed[key] = true
	} else {
		m.behind[key] = true
	}
}

// retryFailed sets failed projections to running after a while: what failed may have been mended without us.
func (p *Projector) retryFailed(ctx context.Context) error {
	const sql = `UPDATE projections.checkpoints SET status = 'running', generation = generation + 1, updated_at = now()
		WHERE status = 'failed' AND updated_at < now() - $1::interval`
	_, err := p.pool.Exec(ctx, sql, p.cfg.RetryFailed)
	return unavailable(err)
}

// expel takes a projection out of the group: it fails for a reason that is neither an event's nor passing.
func (p *Projector) expel(ctx context.Context, m *member, cause error) error {
	p.cfg.Logger.ErrorContext(ctx, "projection failed and leaves its group", "projection", m.name, "version", m.version, "error", cause)
	const sql = `UPDATE projections.checkpoints SET status = 'failed', cause = $3, generation = generation + 1, updated_at = now()
		WHERE name = $1 AND version = $2`
	if _, err := p.pool.Exec(ctx, sql, m.name, m.version, cause.Error()); err != nil {
		return unavailable(err)
	}
	return p.lookUp(ctx, m)
}

func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "POSTGRES_UNAVAILABLE", "the read models' database does not answer; try again")
}
