package commands

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// A planned job has decided and waits for the shared append.
type planned[S any, E event] struct {
	job    *job[S, E]
	events []eventstore.Event
	state  S // after the job's events
}

// A round is one pass over the waiting jobs: some are answered at once, some share the next append, some wait for the round after.
type round[S any, E event] struct {
	jobs  []planned[S, E]
	rest  []*job[S, E]
	stale bool // a refusal or no-op came from a state that nothing proves: read the tail and decide again
	size  int
}

// plan decides the open jobs one after the other on the evolving state. A job is answered at once only by what is stored: a refusal or no-op behind
// jobs that wait for the append waits with them. Each round answers a job or appends one, so there are as many rounds as jobs at most.
func plan[S any, E event](stream eventstore.Stream, a aggregate[S, E], e *entry[S], open []*job[S, E], fresh bool) *round[S, E] {
	p := &round[S, E]{}
	state, rev := e.state, e.revision
	inRound := map[uuid.UUID]bool{}
	for i, j := range open {
		if known, ok := e.commands[j.r.Command]; ok {
			j.done <- replay(stream, j.r, known, e.state)
			continue
		}
		if inRound[j.r.Command] || p.size > appendBytes { // the same command twice, or no room: after this append
			p.rest = append(p.rest, j)
			continue
		}
		events, err := j.decide(state, rev)
		if (err != nil || len(events) == 0) && !fresh {
			p.rest, p.stale = slices.Concat(p.undecided(), p.rest, open[i:]), true
			p.jobs = nil
			return p
		}
		if (err != nil || len(events) == 0) && len(p.jobs) > 0 {
			// Decided on events that are not stored yet, and perhaps never will be: again when they are.
			p.rest = append(p.rest, j)
			continue
		}
		if err != nil {
			j.done <- answer[S]{err: err}
			continue
		}
		if len(events) == 0 {
			j.done <- answer[S]{state: state, receipt: receipt(stream, j.r, applied{revision: rev, position: e.position})}
			continue
		}
		encoded, size, err := encode(j.r, events)
		if err != nil {
			j.done <- answer[S]{err: err}
			continue
		}
		for _, ev := range events {
			state = a.evolve(state, ev)
		}
		rev += eventstore.Revision(len(events))
		inRound[j.r.Command] = true
		p.size += size
		p.jobs = append(p.jobs, planned[S, E]{job: j, events: encoded, state: state})
	}
	return p
}

// append writes the round's events at the entry's revision, answers its jobs and returns the stream's new entry.
func (p *round[S, E]) append(ctx context.Context, h *Handlers, stream eventstore.Stream, e *entry[S]) (*entry[S], error) {
	var all []eventstore.Event
	for _, j := range p.jobs {
		all = append(all, j.events...)
	}
	done, err := h.store.Append(ctx, stream, e.revision, all)
	if err != nil {
		return nil, err
	}
	positions, err := positionsOf(ctx, h, stream, e.revision, len(all), len(p.jobs), done)
	if err != nil {
		return nil, err
	}
	next := &entry[S]{state: p.jobs[len(p.jobs)-1].state, revision: done.Revision, position: done.Position, last: all[len(all)-1].ID,
		commands: e.commands, heard: e.heard, saved: e.saved, weight: e.weight + len(all)} // the map moves on with the stream: only the lane's leader touches it
	rev := e.revision
	for _, j := range p.jobs {
		for range j.events {
			rev++
			next.heard.add(rev, j.job.r.Command)
		}
		known := applied{mac: j.job.r.MAC, revision: rev, position: positions[rev], correlation: j.job.r.Correlation}
		next.commands[j.job.r.Command] = known
		j.job.done <- answer[S]{state: j.state, receipt: receipt(stream, j.job.r, known)}
	}
	return next, nil
}

// positionsOf returns the position of each appended revision. The store tells the last one; when several commands shared the
// append, the others are read back, so that a repeat of each gets the very answer that its first call got.
func positionsOf(ctx context.Context, h *Handlers, stream eventstore.Stream, before eventstore.Revision, n, jobs int, done eventstore.Appended) (map[eventstore.Revision]eventstore.Position, error) {
	at := map[eventstore.Revision]eventstore.Position{done.Revision: done.Position}
	if jobs == 1 {
		return at, nil
	}
	for rec, err := range h.store.ReadStream(ctx, stream, before+1) {
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "OUTCOME_UNKNOWN", "the event store went away; send the command again under the same key")
		}
		at[rec.Revision] = rec.Position
		if len(at) >= n && rec.Revision >= done.Revision {
			break
		}
	}
	return at, nil
}

func (p *round[S, E]) fail(err error) {
	for _, j := range p.jobs {
		j.job.done <- answer[S]{err: err}
	}
	p.jobs = nil
}

// undecided returns the round's jobs to decide them again.
func (p *round[S, E]) undecided() []*job[S, E] {
	var jobs []*job[S, E]
	for _, j := range p.jobs {
		jobs = append(jobs, j.job)
	}
	return jobs
}

// replay answers a command that the stream already holds. ErrKeyReused comes with the receipt of the command that it holds, for settle.
func replay[S any](stream eventstore.Stream, r request, known applied, state S) answer[S] {
	r.Correlation = known.correlation
	again := answer[S]{state: state, receipt: receipt(stream, r, known)}
	again.receipt.Replayed = true
	if known.mac != r.MAC && !slices.Contains(r.also, known.mac) {
		again.err = ErrKeyReused
	}
	return again
}

func receipt(stream eventstore.Stream, r request, at applied) Receipt {
	return Receipt{Command: r.Command, Stream: stream, Revision: at.revision, Position: at.position, Store: r.Store, Correlation: r.Correlation}
}

// encode gives the command's events their ids and envelope.
func encode[E event](r request, events []E) ([]eventstore.Event, int, error) {
	roles := make([]string, 0, len(r.Principal.Roles))
	for _, role := range r.Principal.Roles {
		roles = append(roles, string(role))
	}
	meta, err := eventstore.Metadata{Correlation: r.Correlation, Causation: r.Causation, Command: r.Command.String(), Name: r.Name,
		Actor:    eventstore.Actor{Kind: string(r.Principal.Kind), ID: r.Principal.ID, Roles: roles, Auth: r.Principal.Method},
		InputMAC: r.MAC, OccurredAt: r.At, Schema: eventstore.MetadataSchema, Traceparent: r.Traceparent, Reason: r.Reason,
		Country: r.Country, Channel: r.Channel}.Encode()
	if err != nil {
		return nil, 0, err
	}
	encoded, size := make([]eventstore.Event, 0, len(events)), 0
	for i, ev := range events {
		data, err := aggregates.Encode(ev)
		if err != nil {
			return nil, 0, err
		}
		encoded = append(encoded, eventstore.Event{ID: eventstore.EventID(r.Command, i, data), Type: ev.Type(), Data: data, Metadata: meta})
		size += len(data) + len(meta) + 100
	}
	return encoded, size, nil
}
