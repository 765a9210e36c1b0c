package projections

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// Parked is a row, or a stream, of a projection that waits for its event to be mended.
type Parked struct {
	Name     string
	Version  int
	Scope    string // "row"; "stream" if not even the row is known, which takes a rebuild
	Key      string
	Position eventstore.Position // of the event that could not be folded
	Event    uuid.UUID
	Type     string
	Code     string
	Cause    string
	Stack    string
	Attempts int
	Waiting  int // events behind it
	FirstAt  time.Time
	LastAt   time.Time
}

// The faults of operating projections.
var (
	ErrNotParked   = fault.New(fault.Missing, "NOT_PARKED", "no such row of this projection is parked")
	ErrStreamTaken = fault.New(fault.Conflict, "STREAM_PARKED", "a whole stream is parked: its rows are not known, so rebuild the projection")
	ErrStillFails  = fault.New(fault.Conflict, "STILL_POISONED", "the event still can't be folded; the row stays parked")
	errUnknown     = fault.New(fault.Missing, "PROJECTION_UNKNOWN", "there is no such projection")
)

// Parked returns what is parked, by projection and key. Fault: POSTGRES_UNAVAILABLE.
func (p *Projector) Parked(ctx context.Context) ([]Parked, error) {
	const sql = `SELECT DISTINCT ON (name, version, scope, key) name, version, scope, key, position, event, type, code, cause, stack, attempts,
			(count(*) OVER (PARTITION BY name, version, scope, key))::int - 1 AS waiting, first_at, last_at
		FROM projections.parked ORDER BY name, version, scope, key, position`
	rows, err := p.pool.Query(ctx, sql)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Parked])
	return all, unavailable(err)
}

// Replay folds a parked row's events in order, after what failed was mended, so that the row is as if it had never failed. It returns
// how many events it folded. If one still fails, those before it are folded, it stays parked with its new cause, and the
// fault is ErrStillFails. Others: ErrNotParked, ErrStreamTaken, PROJECTION_UNKNOWN, POSTGRES_UNAVAILABLE.
func (p *Projector) Replay(ctx context.Context, name, key string) (folded int, err error) {
	m, err := p.own(name)
	if err != nil {
		return 0, err
	}
	var r *rowWork
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		const lock = `SELECT generation FROM projections.checkpoints WHERE name = $1 AND version = $2 FOR UPDATE`
		var generation int64
		if err := tx.QueryRow(ctx, lock, m.name, m.version).Scan(&generation); err != nil {
			return err
		}
		events, err := p.parkedEvents(ctx, tx, m, key)
		if err != nil {
			return err
		}
		if r, err = m.refoldParked(ctx, tx, key, events); err != nil {
			return err
		}
		folded = len(events)
		if r.failed >= 0 {
			folded = r.failed
		}
		return m.unpark(ctx, tx, key, events, r)
	})
	if err != nil {
		return 0, unavailable(err)
	}
	if r.failed >= 0 {
		code, cause, _ := diagnosis(r.cause)
		return folded, ErrStillFails.Because("the row stays parked: %s: %s", code, cause)
	}
	return folded, nil
}

// own returns a member apart from the group's, so that nothing is shared with a running feed.
func (p *Projector) own(name string) (*member, error) {
	for _, m := range p.members {
		if m.name == name {
			return &member{Projection: m.Projection}, nil
		}
	}
	return nil, errUnknown
}

func (p *Projector) parkedEvents(ctx context.Context, tx pgx.Tx, m *member, key string) ([]decoded, error) {
	const sql = `SELECT scope, stream, revision, position, event, type, data, metadata, created FROM projections.parked
		WHERE name = $1 AND version = $2 AND key = $3 ORDER BY position`
	rows, err := tx.Query(ctx, sql, m.name, m.version, key)
	if err != nil {
		return nil, err
	}
	var scope string
	var e eventstore.Recorded
	var events []eventstore.Recorded
	_, err = pgx.ForEachRow(rows, []any{&scope, &e.Stream, &e.Revision, &e.Position, &e.ID, &e.Type, &e.Data, &e.Metadata, &e.Created}, func() error {
		if scope == "stream" {
			return ErrStreamTaken
		}
		copied := e
		copied.Data, copied.Metadata = append([]byte{}, e.Data...), append([]byte{}, e.Metadata...)
		events = append(events, copied)
		return nil
	})
	if err == nil && len(events) == 0 {
		err = ErrNotParked
	}
	return decode(p.cfg.Decode, events), err
}

// refoldParked folds as far as it goes and writes the row.
func (m *member) refoldParked(ctx context.Context, tx pgx.Tx, key string, events []decoded) (*rowWork, error) {
	r := &rowWork{key: key, failed: -1}
	w := &work{projection: m.Projection, rows: []*rowWork{r}, byKey: map[string]*rowWork{key: r}}
	for i, e := range events {
		if e.err != nil {
			r.failed, r.cause = i, e.err
			break
		}
		r.events = append(r.events, e.Event)
	}
	undecoded, why := r.failed, r.cause
	loaded, err := load(ctx, tx, []*work{w}, (*work).keys)
	if err != nil {
		return nil, err
	}
	if spoilt := w.fold(loaded[0]); len(spoilt) > 0 {
		if loaded, err = load(ctx, tx, []*work{w}, (*work).keys); err != nil {
			return nil, err
		}
		if err := w.refold(spoilt, loaded[0]); err != nil {
			return nil, err
		}
	} else if undecoded >= 0 {
		r.failed, r.cause = undecoded, why
	}
	if r.failed == 0 {
		return r, nil
	}
	return r, m.saveOrFail(ctx, tx, r)
}

// unpark removes what was folded, notes what still fails, and moves the generation, so that a running projector looks again.
func (m *member) unpark(ctx context.Context, tx pgx.Tx, key string, events []decoded, r *rowWork) error {
	until := int64(events[len(events)-1].Position) + 1
	if r.failed >= 0 {
		until = int64(events[r.failed].Position)
	}
	code, cause, stack := diagnosis(r.cause)
	batch := &pgx.Batch{}
	batch.Queue(`WITH gone AS (DELETE FROM projections.parked WHERE name = $1 AND version = $2 AND scope = 'row' AND key = $3 AND position < $4 RETURNING 1)
		UPDATE projections.checkpoints SET generation = generation + 1, parked = parked - (SELECT count(*) FROM gone), updated_at = now()
		WHERE name = $1 AND version = $2`, m.name, m.version, key, until)
	batch.Queue(`UPDATE projections.parked SET code = $5, cause = $6, stack = $7, attempts = attempts + 1, last_at = now()
		WHERE name = $1 AND version = $2 AND scope = 'row' AND key = $3 AND position = $4`, m.name, m.version, key, until, code, cause, stack)
	batch.Queue("SELECT pg_notify('" + Signal + "', '')")
	return send(ctx, tx, batch)
}

// Pause stops a projection where it stands; the others of its group go on. Faults: PROJECTION_UNKNOWN, POSTGRES_UNAVAILABLE.
func (p *Projector) Pause(ctx context.Context, name string) error {
	return p.setStatus(ctx, name, "paused")
}

// Resume lets a paused or failed projection go on: it catches up from the store and joins its group. Faults: see Pause.
func (p *Projector) Resume(ctx context.Context, name string) error {
	return p.setStatus(ctx, name, "running")
}

func (p *Projector) setStatus(ctx context.Context, name, status string) error {
	m, err := p.own(name)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE projections.checkpoints SET status = $3, cause = '', generation = generation + 1, updated_at = now() WHERE name = $1 AND version = $2`,
		m.name, m.version, status)
	batch.Queue("SELECT pg_notify('" + Signal + "', '')")
	err = send(ctx, p.pool, batch)
	return unavailable(err)
}
