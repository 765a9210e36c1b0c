package sagas

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
)

func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "SAGAS_DATABASE_UNAVAILABLE", "the sagas' database does not answer; it is tried again")
}

// Checkpoint implements feed.Sink.
func (s *sink) Checkpoint(ctx context.Context) (feed.Checkpoint, error) {
	var position int64
	var last uuid.UUID
	var store string
	var categories []string
	err := s.pool.QueryRow(ctx, `SELECT position, last, store, categories FROM checkpoint WHERE name = 'sagas'`).Scan(&position, &last, &store, &categories)
	if errors.Is(err, pgx.ErrNoRows) {
		return feed.Checkpoint{}, nil
	}
	cp := feed.Checkpoint{Position: eventstore.Position(position), Last: last, Store: eventstore.StoreID(store)} //nolint:gosec // written from a Position
	for _, c := range categories {
		cp.Categories = append(cp.Categories, eventstore.Category(c))
	}
	return cp, unavailable(err)
}

// index folds the batch into the table saga and moves the checkpoint, in one transaction.
func (s *sink) index(ctx context.Context, b feed.Batch) error {
	now := s.cfg.Now()
	entries, err := read(b.Events)
	if err != nil {
		return err
	}
	var earliest time.Time
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := move(ctx, tx, b); err != nil {
			return err
		}
		rows, err := rowsOf(ctx, tx, entries)
		if err != nil {
			return err
		}
		for _, e := range entries {
			rows[e.stream] = rows[e.stream].fold(e, now, s.cfg.Retry)
		}
		for _, r := range rows {
			if r.Due != nil && (earliest.IsZero() || r.Due.Before(earliest)) {
				earliest = *r.Due
			}
		}
		return write(ctx, tx, rows)
	})
	if err != nil {
		return unavailable(err)
	}
	if !earliest.IsZero() {
		s.alarm.set(earliest)
	}
	return nil
}

// move advances the checkpoint if it stands where the batch begins. Fault: feed.ErrCheckpointMoved.
func move(ctx context.Context, tx pgx.Tx, b feed.Batch) error {
	categories := make([]string, len(b.To.Categories))
	for i, c := range b.To.Categories {
		categories[i] = string(c)
	}
	sql := `UPDATE checkpoint SET position = $2, last = $3, store = $4, categories = $5 WHERE name = 'sagas' AND position = $1`
	if b.From == 0 {
		sql = `INSERT INTO checkpoint AS c (name, position, last, store, categories) VALUES ('sagas', $2, $3, $4, $5)
			ON CONFLICT (name) DO UPDATE SET position = excluded.position, last = excluded.last, store = excluded.store WHERE c.position = $1`
	}
	done, err := tx.Exec(ctx, sql, int64(b.From), int64(b.To.Position), b.To.Last, string(b.To.Store), categories) //nolint:gosec // positions fit
	if err == nil && done.RowsAffected() == 0 {
		return feed.ErrCheckpointMoved
	}
	return err
}

func rowsOf(ctx context.Context, tx pgx.Tx, entries []entry) (map[eventstore.Stream]row, error) {
	rows := map[eventstore.Stream]row{}
	for _, e := range entries {
		rows[e.stream] = row{}
	}
	if len(rows) == 0 {
		return rows, nil
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, string(name))
	}
	found, err := tx.Query(ctx, `SELECT stream, kind, orderid, status, open, code, reason, deadline, due, attempts, started, changed, position
		FROM saga WHERE stream = ANY($1)`, names)
	if err != nil {
		return nil, err
	}
	known, err := pgx.CollectRows(found, pgx.RowToStructByName[row])
	for _, r := range known {
		rows[eventstore.Stream(r.Stream)] = r
	}
	return rows, err
}

// write upserts the rows with one statement.
func write(ctx context.Context, tx pgx.Tx, rows map[eventstore.Stream]row) error {
	maps.DeleteFunc(rows, func(_ eventstore.Stream, r row) bool { return r.Stream == "" })
	if len(rows) == 0 {
		return nil
	}
	var c columns
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		c.add(rows[name])
	}
	_, err := tx.Exec(ctx, `INSERT INTO saga (stream, kind, orderid, status, open, code, reason, deadline, due, attempts, started, changed, position)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
			$8::timestamptz[], $9::timestamptz[], $10::int[], $11::timestamptz[], $12::timestamptz[], $13::bigint[])
		ON CONFLICT (stream) DO UPDATE SET status = excluded.status, open = excluded.open, code = excluded.code, reason = excluded.reason,
			deadline = excluded.deadline, due = excluded.due, attempts = excluded.attempts, changed = excluded.changed, position = excluded.position`,
		c.streams, c.kinds, c.orders, c.statuses, c.open, c.codes, c.reasons, c.deadlines, c.dues, c.attempts, c.started, c.changed, c.positions)
	return err
}

// columns are rows turned by ninety degrees, for unnest.
type columns struct {
	streams, kinds, orders, statuses, open, codes, reasons []string
	deadlines, dues                                        []*time.Time
	attempts                                               []int32
	started, changed                                       []time.Time
	positions                                              []int64
}

func (c *columns) add(r row) {
	c.streams, c.kinds, c.orders = append(c.streams, r.Stream), append(c.kinds, r.Kind), append(c.orders, r.OrderID)
	c.statuses, c.open = append(c.statuses, r.Status), append(c.open, r.Open)
	c.codes, c.reasons = append(c.codes, r.Code), append(c.reasons, r.Reason)
	c.deadlines, c.dues = append(c.deadlines, r.Deadline), append(c.dues, r.Due)
	c.attempts = append(c.attempts, r.Attempts)
	c.started, c.changed = append(c.started, r.Started), append(c.changed, r.Changed)
	c.positions = append(c.positions, r.Position)
}
