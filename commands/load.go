package commands

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// current returns what is known of the stream: from the cache (not fresh), or read to its end (fresh).
func current[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream) (*entry[S], bool, error) {
	if cached, ok := h.cache.get(stream); ok {
		return cached.(*entry[S]), false, nil
	}
	e, err := catchUp(ctx, h, a, stream, emptyEntry[S]())
	return e, true, err
}

// catchUp folds what the stream holds beyond the entry. It never changes e.
func catchUp[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, e *entry[S]) (*entry[S], error) {
	next, err := follow(ctx, h, a, stream, e.clone())
	if err != nil {
		return nil, err
	}
	h.cache.put(stream, next, next.weight)
	return next, nil
}

// lookFor is how long a stream that a command only looks at is taken to be as it was: a price that changed in another process
// may be seen that much later. What was seen is recorded with its revision.
const lookFor = time.Second

// looked is a stream's state at a revision, read at a moment. Immutable.
type looked[S any] struct {
	entry entry[S]
	at    time.Time
}

// load returns the state of a stream that the command only looks at, not older than lookFor; NoStream and the zero state if
// there is none.
func load[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], id string) (S, eventstore.Revision, error) {
	stream := a.category.Stream(id)
	e := entry[S]{revision: eventstore.NoStream}
	if cached, ok := h.looked.get(stream); ok {
		seen := cached.(looked[S])
		if time.Since(seen.at) < lookFor {
			return seen.entry.state, seen.entry.revision, nil
		}
		e = seen.entry
	}
	at := time.Now()
	next, err := follow(ctx, h, a, stream, &e)
	if err != nil {
		var none S
		return none, eventstore.NoStream, err
	}
	h.looked.put(stream, looked[S]{entry: *next, at: at}, next.weight)
	return next.state, next.revision, nil
}

// follow folds the stream from behind e to its end, into e or into what a snapshot gives in its place. A snapshot is asked for
// only when the end is not near: short streams don't pay for it.
func follow[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, e *entry[S]) (*entry[S], error) {
	most := math.MaxInt
	if a.snapshots != nil {
		most = h.snapshots.near
	}
	more, err := e.read(ctx, h, a.apply, stream, most)
	if err != nil || !more {
		return e, err
	}
	restored, err := fromSnapshot(ctx, h, a, stream, e)
	if err != nil {
		return nil, err
	}
	_, err = restored.read(ctx, h, a.apply, stream, math.MaxInt)
	return restored, err
}

// read folds at most so many events from behind e, and reports whether it stopped there.
func (e *entry[S]) read(ctx context.Context, h *Handlers, apply func(S, any) (S, bool), stream eventstore.Stream, most int) (more bool, err error) {
	for rec, err := range h.store.ReadStream(ctx, stream, e.revision+1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if most--; most < 0 {
			return true, nil
		}
		if err := e.fold(rec, apply); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (e *entry[S]) fold(rec eventstore.Recorded, evolve func(S, any) (S, bool)) error {
	if known, ok := aggregates.Lookup(rec.Type); ok && known.Category != string(rec.Stream.Category()) {
		return fault.Newf(fault.Internal, "FOREIGN_EVENT", "stream %s holds an event of type %s at revision %d that is not its category's", rec.Stream, rec.Type, rec.Revision)
	}
	body, err := aggregates.Decode(rec.Type, rec.Data)
	if err != nil {
		return err
	}
	meta, err := eventstore.DecodeMetadata(rec.Metadata)
	if err != nil {
		return err
	}
	state, ok := evolve(e.state, body)
	if !ok {
		return fault.Newf(fault.Internal, "FOREIGN_EVENT", "stream %s holds an event of type %s at revision %d that is not its category's", rec.Stream, rec.Type, rec.Revision)
	}
	e.state, e.revision, e.position, e.last = state, rec.Revision, rec.Position, rec.ID
	e.weight++
	if e.commands == nil {
		return nil
	}
	id, err := uuid.Parse(meta.Command)
	if err == nil {
		e.commands[id] = applied{mac: meta.InputMAC, revision: rec.Revision, position: rec.Position, correlation: meta.Correlation}
	}
	e.heard.add(rec.Revision, id)
	return nil
}

// apply is evolve over what the registry decodes; false for another category's event.
func (a aggregate[S, E]) apply(s S, body any) (S, bool) {
	ev, ok := body.(E)
	if !ok {
		return s, false
	}
	return a.evolve(s, ev), true
}
