// Package projections turns events into the read models of Postgres.
//
// A projection is a pure keyed fold: Keys says which rows an event concerns, Apply says how one row changes. It holds no
// clock, no lookup and no SQL for writing. A read model is one Go file (row type and fold), one SQL file (its table) and one
// line in readmodels.go; docs/projections.md does it step by step.
//
// The Projector does everything else, for a group of projections over one queue. It is the feed's Sink:
//
//	batch ─> decode once ─> keys ─> load touched rows ─> fold in memory ─> one upsert per projection ─┐
//	                                (one round trip)                        checkpoints by CAS ───────┤ one transaction,
//	                                                                        signal to the waiters ────┘ one round trip
//
// Invariants:
//   - 14: each event is applied exactly once per projection. Rows and checkpoint commit together, and the checkpoint
//     moves only from the generation that the projector read. Whatever changes a projection's rows or its status raises the
//     generation, so that a second projector, a repeated batch or a stale one changes nothing.
//   - 16: a live table equals the table rebuilt from zero, since a fold sees nothing but its row and its event.
//   - 18: an event that a fold can't take parks its row, for this projection only. Later events of the row wait behind it in
//     order, all other rows go on, and Replay makes the table as if it had never failed.
//
// A projection's checkpoint is its own: it proves that everything of the projection's categories up to a position is
// in its rows or parked. One that falls behind its group catches up from the store by itself and joins again.
//
// The caller acknowledges a delivery after Apply returned nil, that is after the commit. Failures: Unavailable while
// Postgres is away (nothing is lost, the same batch may be applied again), CHECKPOINT_MOVED when somebody else was faster
// (ask Checkpoint again), STORE_CHANGED when the events come from another store than the rows.
package projections

import (
	"regexp"
	"slices"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// Event is a domain event as folds see it.
type Event struct {
	eventstore.Recorded
	Meta eventstore.Metadata
	Body any // a value type of aggregates/<context>, such as order.Placed
}

// Spec says what a projection is. Row is a struct that embeds Head; a field is a column by its `db:"name"` tag.
type Spec[Row any] struct {
	Name       string                        // of the read model and its table; a-z and _
	Version    int                           // from 1; raised whenever the fold, the keys, the categories or the SQL change
	SQL        string                        // creates the table <Name> and its indexes; names no schema
	Categories []eventstore.Category         // whole categories
	Ignore     []string                      // event types of the categories that say nothing about a row; any other must have a key
	Keys       func(e Event) []string        // nil: don't know, which parks the stream; None: concerns no row, on purpose
	Apply      func(row *Row, e Event) error // the row is new when its Events is 0; must not touch anything but the row
}

// None is what Keys returns for an event that concerns no row although its type may.
func None() []string { return []string{} }

// Projection is a defined projection.
type Projection struct {
	name       string
	version    int
	sql        string
	categories []eventstore.Category
	ignore     map[string]bool
	keys       func(Event) []string
	apply      func(row any, e Event) error
	table      *table
}

// The faults of a fold: what parks a row or a stream.
var (
	// ErrUnhandled answers an event that the fold doesn't know and that is not listed as ignored.
	ErrUnhandled = fault.New(fault.Internal, "EVENT_UNHANDLED", "the projection neither folds nor ignores this type of event")
	// ErrNoKey answers an event that concerns no row and is not listed as ignored.
	ErrNoKey = fault.New(fault.Internal, "EVENT_WITHOUT_KEY", "the projection found no row for an event that it doesn't ignore")
	// ErrPanicked answers a fold that panicked; the stack is kept with the parked event.
	ErrPanicked = fault.New(fault.Internal, "FOLD_PANICKED", "the projection's fold panicked")
)

var validName = regexp.MustCompile(`^[a-z][a-z_]{0,40}$`)

// Define checks a spec and returns the projection. Fault: PROJECTION_INVALID, which says what is wrong.
func Define[Row any](s Spec[Row]) (Projection, error) {
	invalid := func(format string, args ...any) (Projection, error) {
		return Projection{}, fault.Newf(fault.Invalid, "PROJECTION_INVALID", "projection "+s.Name+": "+format, args...)
	}
	switch {
	case !validName.MatchString(s.Name):
		return invalid("the name must be 1 to 41 of a-z and _")
	case s.Version < 1:
		return invalid("versions begin at 1")
	case len(s.Categories) == 0 || s.Keys == nil || s.Apply == nil || s.SQL == "":
		return invalid("categories, keys, apply and SQL are all needed")
	}
	for _, c := range s.Categories {
		if !c.Registered() {
			return invalid("there is no category %q", c)
		}
	}
	t, err := tableOf[Row](s.Name, s.Version)
	if err != nil {
		return invalid("%s", fault.MessageOf(err))
	}
	p := Projection{name: s.Name, version: s.Version, sql: s.SQL, keys: s.Keys, table: t, ignore: map[string]bool{},
		categories: slices.Sorted(slices.Values(s.Categories))}
	for _, name := range s.Ignore {
		p.ignore[name] = true
	}
	p.apply = func(row any, e Event) error { return s.Apply(row.(*Row), e) }
	return p, nil
}

// Name returns the read model's name.
func (p Projection) Name() string { return p.name }

// Version returns the version of fold and table.
func (p Projection) Version() int { return p.version }

// Categories returns the categories it folds, sorted.
func (p Projection) Categories() []eventstore.Category { return slices.Clone(p.categories) }

func (p Projection) concerns(c eventstore.Category) bool { return slices.Contains(p.categories, c) }
