package eventstore

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/annalhq/annal/internal/fault"
)

// The faults of a copy.
var (
	// ErrSameStore refuses to copy a store into itself.
	ErrSameStore = fault.New(fault.Invalid, "COPY_SAME_STORE", "source and target are the same event store; name another target")
	// ErrNotACopy answers when the target holds domain events that the source doesn't hold in that order.
	ErrNotACopy = fault.New(fault.Conflict, "COPY_FOREIGN_TARGET", "the target holds events of its own; copy into an empty store, or into one that a copy of this source was begun in")
)

// Copied says how far a copy, or the comparison, is.
type Copied struct {
	Events   int64    // appended, or compared, by this call
	Position Position // of the source, up to which every domain event stands in the target
}

// A StoreFault says which of the two stores of a copy a fault is of. Its kind and code are the fault's.
type StoreFault struct {
	Target bool // else the source
	Fault  error
}

// Error returns the fault with the store before it.
func (f *StoreFault) Error() string {
	if f.Target {
		return "target: " + f.Fault.Error()
	}
	return "source: " + f.Fault.Error()
}

// Unwrap returns the fault.
func (f *StoreFault) Unwrap() error { return f.Fault }

func ofSource(err error) error { return &StoreFault{Fault: err} }
func ofTarget(err error) error { return &StoreFault{Target: true, Fault: err} }

// Bounds of one append of a copy: half of what a store takes by default.
const (
	copyEvents = 500
	copyBytes  = 512 << 10
)

// Copy appends the domain events of the source to the target, in the source's order and with their ids, revisions, types, data and metadata. Positions
// and times of storing are the target's own, and so is its identity: consumers see another store and begin anew. Events that are no domain events
// (snapshots, the store's own) stay behind.
//
// It appends one event, or a run of one stream's, after the other, since the order of the log is kept. A copy that was interrupted goes on where it
// ended: the target's last domain event says where. So does one of a source that grew meanwhile. report is called after each append.
//
// Faults: ErrSameStore; ErrNotACopy; a StoreFault with those of ReadAll and Append of either store. After a fault, call it again.
func Copy(ctx context.Context, source, target *Client, report func(Copied)) (Copied, error) {
	var done Copied
	after, err := copiedUpTo(ctx, source, target)
	if err != nil {
		return done, err
	}
	done.Position = after
	var run []Recorded // of one stream, with neighbouring revisions
	size := 0
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		if err := appendRun(ctx, target, run); err != nil {
			return err
		}
		done.Events += int64(len(run))
		done.Position = run[len(run)-1].Position
		run, size = run[:0], 0
		report(done)
		return nil
	}
	for r, err := range source.ReadAll(ctx, after, Filter{}) {
		if err != nil {
			return done, ofSource(err)
		}
		weight := len(r.Data) + len(r.Metadata)
		if len(run) > 0 && (run[0].Stream != r.Stream || len(run) == copyEvents || size+weight > copyBytes) {
			if err := flush(); err != nil {
				return done, err
			}
		}
		run = append(run, r)
		size += weight
	}
	return done, flush()
}

// copiedUpTo returns the source's position of the target's last domain event, 0 if it has none.
func copiedUpTo(ctx context.Context, source, target *Client) (Position, error) {
	from, err := source.Identity(ctx)
	if err != nil {
		return 0, ofSource(err)
	}
	to, err := target.Identity(ctx)
	if err != nil {
		return 0, ofTarget(err)
	}
	if from == to {
		return 0, ErrSameStore
	}
	for last, err := range target.ReadAllBackwards(ctx, 0, 1, Filter{}) {
		if err != nil {
			return 0, ofTarget(err)
		}
		for original, err := range source.ReadStream(ctx, last.Stream, last.Revision) {
			if errors.Is(err, ErrNoStream) || err == nil && !sameEvent(last, original) {
				break
			}
			if err != nil {
				return 0, ofSource(err)
			}
			return original.Position, nil
		}
		return 0, foreign(last)
	}
	return 0, nil
}

func appendRun(ctx context.Context, target *Client, run []Recorded) error {
	events := make([]Event, len(run))
	for i, r := range run {
		events[i] = Event{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: r.Metadata}
	}
	_, err := target.Append(ctx, run[0].Stream, run[0].Revision-1, events)
	if errors.Is(err, ErrWrongRevision) {
		return foreign(run[0])
	}
	if err != nil {
		return ofTarget(err)
	}
	return nil
}

func foreign(r Recorded) error {
	return ErrNotACopy.Because("%s (they differ at revision %d of %s)", ErrNotACopy.Message, r.Revision, r.Stream)
}

// Compare reads the domain events of both stores up to the source's position and returns how many there are, or ErrNotACopy naming the first that differs
// in stream, revision, id, type, data or metadata, is missing in the target, or stands in the target alone. report is called after each with their number
// and its position in the source. Faults: also a StoreFault with those of ReadAll.
func Compare(ctx context.Context, source, target *Client, upTo Position, report func(Copied)) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	copies, stop := iter.Pull2(target.ReadAll(ctx, 0, Filter{}))
	defer stop()
	var n int64
	for original, err := range source.ReadAll(ctx, 0, Filter{}) {
		if err != nil {
			return n, ofSource(err)
		}
		if original.Position > upTo {
			break
		}
		twin, err, ok := copies()
		switch {
		case ok && err != nil:
			return n, ofTarget(err)
		case !ok:
			return n, ErrNotACopy.Because("the target ends before revision %d of %s; copy again", original.Revision, original.Stream)
		case !sameEvent(original, twin):
			return n, foreign(original)
		}
		n++
		report(Copied{n, original.Position})
	}
	if extra, err, ok := copies(); ok {
		if err != nil {
			return n, ofTarget(err)
		}
		return n, foreign(extra)
	}
	return n, nil
}

// sameEvent compares all that a copy keeps.
func sameEvent(a, b Recorded) bool {
	return a.Stream == b.Stream && a.Revision == b.Revision && a.ID == b.ID && a.Type == b.Type && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Metadata, b.Metadata)
}
