package projections

import (
	"context"
	"errors"
	"io"
	"net"
	"sort"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
)

// sender is what a pool, a connection and a transaction have in common.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// together applies a batch to the members in one transaction and two round trips: load, then everything else. The load
// needs no lock: if a row changes after it was read, a generation has moved, and advance ends the transaction.
func (p *Projector) together(ctx context.Context, members []*member, b feed.Batch, events []decoded) error {
	works, err := p.fold(ctx, p.pool, members, events)
	if err != nil {
		return err
	}
	tx := &pgx.Batch{}
	tx.Queue("BEGIN")
	if len(b.Events) == 0 { // a watermark that a power cut takes back is moved again
		tx.Queue("SET LOCAL synchronous_commit TO off")
	}
	queueAdvance(tx, members, works, b)
	for i, m := range members {
		rows := works[i].changed()
		if len(rows) == 0 {
			continue
		}
		args, err := m.table.arguments(rows)
		if err != nil {
			return err
		}
		tx.Queue(m.table.save, args...)
	}
	queueParked(tx, members, works)
	tx.Queue("SELECT pg_notify('" + Signal + "', '')")
	tx.Queue("COMMIT")
	if err := send(ctx, p.pool, tx); err != nil {
		return err
	}
	if err := p.cfg.Failpoint("committed"); err != nil {
		return err
	}
	p.moved(ctx, members, works, b)
	return nil
}

// fold plans, loads and folds for each member. Nothing is written.
func (p *Projector) fold(ctx context.Context, db sender, members []*member, events []decoded) ([]*work, error) {
	works := make([]*work, len(members))
	for i, m := range members {
		from := sort.Search(len(events), func(i int) bool { return events[i].Position > m.position })
		works[i] = plan(m.Projection, events[from:], m.closedCopy())
		for _, r := range works[i].rows {
			r.behind = m.behind[r.key]
		}
	}
	loaded, err := load(ctx, db, works, (*work).keys)
	if err != nil {
		return nil, err
	}
	if err := p.cfg.Failpoint("loaded"); err != nil {
		return nil, err
	}
	spoilt := map[*work][]string{}
	for i, w := range works {
		if keys := w.fold(loaded[i]); len(keys) > 0 {
			spoilt[w] = keys
		}
	}
	if len(spoilt) > 0 {
		again, err := load(ctx, db, works, func(w *work) []string { return spoilt[w] })
		if err != nil {
			return nil, err
		}
		for i, w := range works {
			if err := w.refold(spoilt[w], again[i]); err != nil {
				return nil, err
			}
		}
	}
	return works, p.cfg.Failpoint("folded")
}

func (m *member) closedCopy() map[string]bool {
	c := make(map[string]bool, len(m.closed))
	for k := range m.closed {
		c[k] = true
	}
	return c
}

// load reads the wanted rows of each work, all in one round trip.
func load(ctx context.Context, db sender, works []*work, wanted func(*work) []string) ([]map[string]any, error) {
	batch, loaded := &pgx.Batch{}, make([]map[string]any, len(works))
	for i, w := range works {
		loaded[i] = map[string]any{}
		keys := wanted(w)
		if len(keys) == 0 {
			continue
		}
		batch.Queue(w.projection.table.load, keys).Query(func(rows pgx.Rows) error {
			all, err := pgx.CollectRows(rows, w.projection.table.scan)
			for _, row := range all {
				loaded[i][head(row).ID] = row
			}
			return err
		})
	}
	if batch.Len() == 0 {
		return loaded, nil
	}
	return loaded, db.SendBatch(ctx, batch).Close()
}

func queueAdvance(tx *pgx.Batch, members []*member, works []*work, b feed.Batch) {
	n := len(members)
	names, versions, generations := make([]string, n), make([]int, n), make([]int64, n)
	lasts, lastPositions := make([]uuid.UUID, n), make([]int64, n)
	taken, parked := make([]int64, n), make([]int64, n)
	for i, m := range members {
		last, lastPosition := m.lastAfter(works[i])
		names[i], versions[i], generations[i] = m.name, m.version, m.generation
		lasts[i], lastPositions[i] = last, int64(lastPosition)
		taken[i], parked[i] = works[i].taken, int64(len(works[i].newlyParked()))
	}
	tx.Queue(`SELECT projections.advance($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, names, versions, generations,
		int64(b.To.Position), lasts, lastPositions, string(b.To.Store), b.To.Last, texted(b.To.Categories), taken, parked)
}

func (m *member) lastAfter(w *work) (uuid.UUID, eventstore.Position) {
	if w.last == nil {
		return m.last, m.lastPosition
	}
	return w.last.ID, w.last.Position
}

func texted(categories []eventstore.Category) []string {
	names := make([]string, len(categories))
	for i, c := range categories {
		names[i] = string(c)
	}
	return names
}

// moved brings the members to what was committed.
func (p *Projector) moved(ctx context.Context, members []*member, works []*work, b feed.Batch) {
	for i, m := range members {
		m.last, m.lastPosition = m.lastAfter(works[i])
		m.generation++
		m.position, m.store = b.To.Position, b.To.Store
		m.feedLast, m.feedOf = b.To.Last, b.To.Categories
		for _, e := range works[i].newlyParked() {
			m.parked++
			m.park(e.scope, e.key)
			if e.cause != nil {
				code, _, _ := diagnosis(e.cause)
				p.cfg.Logger.ErrorContext(ctx, "event parked", "projection", m.name, "version", m.version, "scope", e.scope,
					"key", e.key, "position", e.event.Position, "type", e.event.Type, "code", code)
			}
		}
	}
}

// send runs a batch and returns its first error.
func send(ctx context.Context, db sender, batch *pgx.Batch) error {
	results := db.SendBatch(ctx, batch)
	var first error
	for range batch.Len() {
		if _, err := results.Exec(); err != nil {
			first = err
			break
		}
	}
	if err := results.Close(); first == nil {
		first = err
	}
	return first
}

// What an error means for the batch, mildest first.
const (
	overtaken   = iota // a checkpoint moved
	transient          // Postgres is away or busy; the same batch again
	dataRefused        // a row can't be stored as it is
	broken             // the projection can't work: its table is gone, a right is missing
)

// severity classifies by SQLSTATE (PostgreSQL manual, appendix A). An error without one is a lost connection, or a defect of
// ours such as a value that can't be encoded: to repeat that would stop the group for ever.
func severity(err error) int {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if lostConnection(err) {
			return transient
		}
		return broken
	}
	if pg.Code == "AN001" {
		return overtaken
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data exception, integrity constraint, program limit
		return dataRefused
	case "08", "40", "53", "55", "57", "58", "25": // connection, rollback, resources, lock, operator, system, transaction state
		return transient
	}
	return broken
}

func lostConnection(err error) bool {
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return f.Kind.Retryable()
	}
	var network net.Error
	var connect *pgconn.ConnectError
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || pgconn.Timeout(err)
}

// refusal is what the caller of Apply gets.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "AN001" {
		return feed.ErrCheckpointMoved
	}
	return unavailable(err)
}
