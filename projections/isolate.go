package projections

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
)

// isolate applies a batch to one projection after Postgres refused a row of it: a character it can't store, a number out of
// range, a constraint. The rows are written one by one behind savepoints, so that the refused ones are found and parked
// from the event that spoilt them. Slow on purpose: it happens once for a poison event.
func (p *Projector) isolate(ctx context.Context, m *member, b feed.Batch, events []decoded) error {
	var works []*work
	members := []*member{m}
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var err error
		if works, err = p.fold(ctx, tx, members, events); err != nil {
			return err
		}
		for _, r := range works[0].rows {
			if r.behind || r.failed == 0 {
				continue
			}
			if err := m.saveOrFail(ctx, tx, r); err != nil {
				return err
			}
		}
		last := &pgx.Batch{}
		queueAdvance(last, members, works, b)
		queueParked(last, members, works)
		last.Queue("SELECT pg_notify('" + Signal + "', '')")
		return send(ctx, tx, last)
	})
	if err == nil {
		p.moved(ctx, members, works, b)
	}
	return err
}

// saveOrFail writes the row; if Postgres refuses it, it looks for the event after which it does.
func (m *member) saveOrFail(ctx context.Context, tx pgx.Tx, r *rowWork) error {
	err := m.save(ctx, tx, r.row)
	if err == nil || severity(err) != dataRefused {
		return err
	}
	end := len(r.events)
	if r.failed >= 0 {
		end = r.failed
	}
	for i := range end {
		row, err := m.refolded(ctx, tx, r, i+1)
		if err != nil {
			return err
		}
		if err = m.save(ctx, tx, row); err == nil {
			r.row = row
			continue
		}
		if severity(err) != dataRefused {
			return err
		}
		r.failed, r.cause = i, refusedRow(err)
		return nil
	}
	return err // the whole is refused but no part of it: not a matter of one event
}

// refolded returns the row as the first n events leave it.
func (m *member) refolded(ctx context.Context, tx pgx.Tx, r *rowWork, n int) (any, error) {
	copied := &rowWork{key: r.key, events: r.events, failed: n}
	w := &work{projection: m.Projection, byKey: map[string]*rowWork{r.key: copied}}
	loaded, err := load(ctx, tx, []*work{w}, func(*work) []string { return []string{r.key} })
	if err != nil {
		return nil, err
	}
	// The rows in the database may hold a part of the events already, written behind an earlier savepoint.
	if row := loaded[0][r.key]; row != nil {
		for copied.done < n && head(row).Position >= int64(r.events[copied.done].Position) {
			copied.done++
		}
	}
	err = w.refold([]string{r.key}, loaded[0])
	return copied.row, err
}

// save writes one row behind a savepoint of its own.
func (m *member) save(ctx context.Context, tx pgx.Tx, row any) error {
	args, err := m.table.arguments([]any{row})
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, m.table.save, args...)
		return err
	})
}

// refusedRow keeps the SQLSTATE and the server's sentence, not its detail: that repeats the row.
func refusedRow(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	return fault.Newf(fault.Internal, "ROW_REFUSED", "PostgreSQL refuses the row: %s (SQLSTATE %s)", pg.Message, pg.Code)
}
