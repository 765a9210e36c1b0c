package commands

import (
	"context"
	"errors"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/cenkalti/backoff/v5"
)

// event is what every context's Event is.
type event interface{ Type() string }

// An aggregate says how one context's streams are named and folded.
type aggregate[S any, E event] struct {
	category  eventstore.Category
	evolve    func(S, E) S
	snapshots *codec[S] // nil: its streams are always folded whole
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
			got = settle(ctx, h, r, got)
			return got.receipt, got.state, got.err
		case <-w.lead:
		case <-ctx.Done():
			h.lanes.leave(stream, w)
			var none S
			return Receipt{}, none, fault.Wrap(ctx.Err(), fault.Timeout, "OUTCOME_UNKNOWN", "the command ran out of time; send it again under the same key")
		}
	}
	lead(ctx, h, a, stream, j)
	got := settle(ctx, h, r, <-j.done)
	return got.receipt, got.state, got.err
}

// A leader answers the commands at one stream. It holds the stream's lane as long as it lives.
type leader[S any, E event] struct {
	h      *Handlers
	a      aggregate[S, E]
	stream eventstore.Stream
	open   []*job[S, E] // not answered yet
	e      *entry[S]
	fresh  bool // e stood at the stream's end when it was last asked
	lost   int  // races
	pause  backoff.ExponentialBackOff
}

// lead answers j and whoever waits at the stream. It outlives ctx, since others depend on it, by appendTimeout at most.
func lead[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, j *job[S, E]) {
	defer h.lanes.handOver(stream)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	l := leader[S, E]{h: h, a: a, stream: stream, open: []*job[S, E]{j},
		pause: backoff.ExponentialBackOff{InitialInterval: time.Millisecond, RandomizationFactor: 0.9, Multiplier: 1.6, MaxInterval: 100 * time.Millisecond}}
	for _, w := range h.lanes.take(stream, laneBatch-1) {
		l.open = append(l.open, w.job.(*job[S, E]))
	}
	err := l.answerAll(ctx)
	for _, j := range l.open { // whoever was not answered shares the fault
		j.done <- answer[S]{err: err}
	}
}

// answerAll decides and appends until every job is answered; open keeps those who are not.
func (l *leader[S, E]) answerAll(ctx context.Context) (err error) {
	if l.e, l.fresh, err = current(ctx, l.h, l.a, l.stream); err != nil {
		return err
	}
	for err == nil && len(l.open) > 0 {
		// Each time: what was read since may have come from a snapshot.
		if err := recall(ctx, l.h, l.stream, l.e, l.open); err != nil {
			return err
		}
		p := plan(l.stream, l.a, l.e, l.open, l.fresh)
		l.open = p.rest
		switch {
		case p.stale:
			err = l.catchUp(ctx)
		case len(p.jobs) > 0:
			err = l.append(ctx, p)
		}
	}
	return err
}

// append appends the round and answers its jobs, with the fault if there is one; jobs that lost a race are open again. Faults: ErrBusy;
// those of reading what won.
func (l *leader[S, E]) append(ctx context.Context, p *round[S, E]) error {
	next, err := p.append(ctx, l.h, l.stream, l.e)
	switch {
	case err == nil:
		l.e, l.fresh = next, true
		offer(l.h, l.a, l.stream, next)
		l.h.cache.put(l.stream, next, next.weight)
		l.h.looked.drop(l.stream) // who looks from this process sees what it wrote
		return nil
	case errors.Is(err, eventstore.ErrWrongRevision):
		return l.again(ctx, p)
	}
	l.h.cache.drop(l.stream)
	p.fail(err) // the others may fare better
	return nil
}

// again opens the jobs of a round that lost a race, and reads what won, after a pause that grows. Faults: ErrBusy after too many; the
// store's.
func (l *leader[S, E]) again(ctx context.Context, p *round[S, E]) error {
	if l.lost++; l.lost >= appendAttempts {
		p.fail(ErrBusy)
		return ErrBusy
	}
	l.open = append(p.undecided(), l.open...)
	if err := sleep(ctx, l.pause.NextBackOff()); err != nil {
		return err
	}
	return l.catchUp(ctx)
}

func (l *leader[S, E]) catchUp(ctx context.Context) error {
	e, err := catchUp(ctx, l.h, l.a, l.stream, l.e)
	if err == nil {
		l.e, l.fresh = e, true
	}
	return err
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
