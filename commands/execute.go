package commands

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// event is what every context's Event is.
type event interface{ Type() string }

// An aggregate says how one context's streams are named and folded.
type aggregate[S any, E event] struct {
	category eventstore.Category
	evolve   func(S, E) S
}

// A job is one command that waits for its stream.
type job[S any, E event] struct {
	r      request
	decide func(s S, rev eventstore.Revision) ([]E, error)
	done   chan answer[S]
}

type answer[S any] struct {
	receipt Receipt
	state   S
	err     error
}

const (
	appendAttempts = 40               // per shared append; each after reading what won
	appendTimeout  = 20 * time.Second // per shared append with all its attempts
	appendBytes    = 512 << 10        // of one shared append: half of the store's limit
)

// execute runs one decision on one stream and returns the receipt and the state after it.
//
// Errors: what decide refuses with; ErrKeyReused; ErrBusy after too many lost races; the store's faults. After a fault of
// kind Unavailable or Timeout the outcome is unknown, and the same command may be sent again.
func execute[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], r request, id string,
	decide func(s S, rev eventstore.Revision) ([]E, error)) (Receipt, S, error) {
	stream := a.category.Stream(id)
	j := &job[S, E]{r: r, decide: decide, done: make(chan answer[S], 1)}
	w := &waiter{job: j, lead: make(chan struct{}, 1)}
	if !h.lanes.enter(stream, w) {
		select {
		case got := <-j.done:
			return got.receipt, got.state, got.err
		case <-w.lead:
		case <-ctx.Done():
			h.lanes.leave(stream, w)
			var none S
			return Receipt{}, none, fault.Wrap(ctx.Err(), fault.Timeout, "OUTCOME_UNKNOWN", "the command ran out of time; send it again under the same key")
		}
	}
	lead(ctx, h, a, stream, j)
	got := <-j.done
	return got.receipt, got.state, got.err
}

// lead answers j and whoever waits at the stream. It outlives ctx, since others depend on it, by appendTimeout at most.
func lead[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, j *job[S, E]) {
	defer h.lanes.handOver(stream)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	open := []*job[S, E]{j}
	for _, w := range h.lanes.take(stream, laneBatch-1) {
		open = append(open, w.job.(*job[S, E]))
	}
	err := answerAll(ctx, h, a, stream, &open)
	for _, j := range open { // whoever was not answered shares the fault
		j.done <- answer[S]{err: err}
	}
}

// answerAll decides and appends until every job is answered; open keeps those who are not.
func answerAll[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, open *[]*job[S, E]) error {
	pause := backoff.ExponentialBackOff{InitialInterval: time.Millisecond, RandomizationFactor: 0.9, Multiplier: 1.6, MaxInterval: 100 * time.Millisecond}
	e, fresh, err := current(ctx, h, a, stream)
	if err != nil {
		return err
	}
	for lost := 0; len(*open) > 0; {
		p := plan(stream, a, e, *open, fresh)
		*open = p.rest
		if p.stale {
			if e, err = catchUp(ctx, h, a, stream, e); err != nil {
				return err
			}
			fresh = true
			continue
		}
		if len(p.jobs) == 0 {
			continue
		}
		var next *entry[S]
		next, err = p.append(ctx, h, stream, e)
		switch {
		case err == nil:
			e, fresh = next, true
			h.cache.put(stream, e, e.weight)
			h.looked.drop(stream) // who looks from this process sees what it wrote
		case errors.Is(err, eventstore.ErrWrongRevision):
			if lost++; lost >= appendAttempts {
				p.fail(ErrBusy)
				return ErrBusy
			}
			*open = append(p.undecided(), *open...)
			if err = sleep(ctx, pause.NextBackOff()); err != nil {
				return err
			}
			if e, err = catchUp(ctx, h, a, stream, e); err != nil {
				return err
			}
			fresh = true
		default:
			h.cache.drop(stream)
			p.fail(err)
		}
	}
	return nil
}

// current returns what is known of the stream: from the cache (not fresh), or read whole (fresh).
func current[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream) (*entry[S], bool, error) {
	if cached, ok := h.cache.get(stream); ok {
		return cached.(*entry[S]), false, nil
	}
	e, err := catchUp(ctx, h, a, stream, &entry[S]{revision: eventstore.NoStream, commands: map[uuid.UUID]applied{}})
	return e, true, err
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
	for rec, err := range h.store.ReadStream(ctx, stream, e.revision+1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			break
		}
		if err == nil {
			err = e.fold(rec, a.apply)
		}
		if err != nil {
			var none S
			return none, eventstore.NoStream, err
		}
	}
	h.looked.put(stream, looked[S]{entry: e, at: at}, e.weight)
	return e.state, e.revision, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "OUTCOME_UNKNOWN", "the command ran out of time; send it again under the same key")
	}
}
