package sagas

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

// An instance is one saga at a revision of its stream. Immutable.
type instance struct {
	process
	stream      eventstore.Stream
	revision    eventstore.Revision
	last        uuid.UUID // id of the last event
	correlation string
	traceparent string // of what began the saga
}

// sagaSpace is the namespace of the ids that sagas derive (UUIDv5, RFC 9562 section 5.5). Frozen.
var sagaSpace = uuid.MustParse("0d9b5d0e-7f0c-5d7e-9a54-3c1f6b2ae907")

// CommandID returns the id of a saga's command: the same however often, and from whichever process, it is sent (invariant 24).
func CommandID(stream eventstore.Stream, step string) uuid.UUID {
	return uuid.NewSHA1(sagaSpace, []byte(string(stream)+"\x00"+step))
}

// actor is who the sagas' events name.
const actor = "sagas"

const (
	actAttempts = 20
	actPause    = 2 * time.Millisecond
)

var errBusy = fault.New(fault.Unavailable, "SAGA_BUSY", "too many processes move the same saga at once; try again")

// An act is one thing that happens to a saga.
type act struct {
	name        string // of the command that the events' metadata name
	causation   string // id of what caused it
	correlation string // of a saga that starts; others keep their own
	traceparent string // likewise
	decide      func(process) []event
}

// act loads the saga, lets it decide, appends what it decided and returns it with the commands that are to be sent, none if nothing was
// decided. A race that is lost is decided again; nothing decided from a cached state is decided again after reading the tail.
func (s *Sagas) act(ctx context.Context, stream eventstore.Stream, a act) (moved, error) {
	i, fresh, err := s.load(ctx, stream)
	for attempt := 0; err == nil && attempt < actAttempts; attempt++ {
		decided := a.decide(i.process)
		if len(decided) == 0 && fresh {
			return moved{instance: i}, nil
		}
		if len(decided) > 0 {
			next, err := s.append(ctx, i, a, decided)
			switch {
			case err == nil:
				s.cache.put(next)
				return moved{instance: next, commands: opened(i, next), decided: true}, nil
			case !errors.Is(err, eventstore.ErrWrongRevision):
				s.cache.drop(stream) // the outcome may be unknown
				return moved{}, err
			}
			if err := pause(ctx, time.Duration(attempt)*actPause); err != nil {
				return moved{}, err
			}
		}
		i, err = s.read(ctx, i)
		fresh = true
	}
	if err == nil {
		err = errBusy
	}
	return moved{}, err
}

// moved is a saga after an act.
type moved struct {
	instance instance
	commands []issued // that became open
	decided  bool     // something was appended
}

// load returns the saga as the cache has it, or fresh from its stream.
func (s *Sagas) load(ctx context.Context, stream eventstore.Stream) (_ instance, fresh bool, err error) {
	if i, ok := s.cache.get(stream); ok {
		return i, false, nil
	}
	p, err := begin(stream)
	if err != nil {
		return instance{}, false, err
	}
	i, err := s.read(ctx, instance{process: p, stream: stream, revision: eventstore.NoStream})
	return i, true, err
}

// read folds what the stream holds beyond i.
func (s *Sagas) read(ctx context.Context, i instance) (instance, error) {
	for rec, err := range s.store.ReadStream(ctx, i.stream, i.revision+1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			break
		}
		if err == nil {
			i, err = i.fold(rec)
		}
		if err != nil {
			return instance{}, err
		}
	}
	s.cache.put(i)
	return i, nil
}

func (i instance) fold(rec eventstore.Recorded) (instance, error) {
	e, err := decode(rec)
	if err != nil {
		return instance{}, err
	}
	if i.revision == eventstore.NoStream {
		meta, err := eventstore.DecodeMetadata(rec.Metadata)
		if err != nil {
			return instance{}, err
		}
		i.correlation, i.traceparent = meta.Correlation, meta.Traceparent
	}
	i.process, i.revision, i.last = i.process.apply(e), rec.Revision, rec.ID
	return i, nil
}

func decode(rec eventstore.Recorded) (event, error) {
	body, err := aggregates.Decode(rec.Type, rec.Data)
	if err != nil {
		return nil, err
	}
	return body.(event), nil // the register holds nothing else
}

// append writes the events at the instance's revision and returns the instance after them.
func (s *Sagas) append(ctx context.Context, i instance, a act, decided []event) (instance, error) {
	next := i
	if i.revision == eventstore.NoStream {
		next.correlation, next.traceparent = a.correlation, a.traceparent
	}
	for _, e := range decided {
		next.process = next.process.apply(e)
	}
	// The id of what moves the saga: there is one for each revision that it can be decided at.
	id := uuid.NewSHA1(CommandID(i.stream, a.name), []byte{byte(i.revision >> 24), byte(i.revision >> 16), byte(i.revision >> 8), byte(i.revision)})
	meta, err := s.metadata(ctx, next, a, id).Encode()
	if err != nil {
		return instance{}, err
	}
	encoded := make([]eventstore.Event, len(decided))
	for n, e := range decided {
		data, err := aggregates.Encode(e)
		if err != nil {
			return instance{}, err
		}
		encoded[n] = eventstore.Event{ID: eventstore.EventID(id, n, data), Type: e.Type(), Data: data, Metadata: meta}
	}
	done, err := s.store.Append(ctx, i.stream, i.revision, encoded)
	if err != nil {
		return instance{}, err
	}
	next.revision, next.last = done.Revision, encoded[len(encoded)-1].ID
	return next, nil
}

func (s *Sagas) metadata(ctx context.Context, next instance, a act, id uuid.UUID) eventstore.Metadata {
	who := auth.Internal(actor)
	roles := make([]string, len(who.Roles))
	for i, r := range who.Roles {
		roles[i] = string(r)
	}
	at := next.at()
	if at.IsZero() {
		at = s.cfg.Now()
	}
	trace := telemetry.Traceparent(ctx)
	if trace == "" {
		trace = next.traceparent
	}
	return eventstore.Metadata{Correlation: next.correlation, Causation: a.causation, Command: id.String(), Name: a.name,
		Actor:      eventstore.Actor{Kind: string(who.Kind), ID: who.ID, Roles: roles, Auth: who.Method},
		OccurredAt: at.UTC().Truncate(time.Microsecond), Schema: eventstore.MetadataSchema, Traceparent: trace,
		Country: next.country(), Channel: next.channel()}
}

// opened returns the commands that are outstanding after and were not before.
func opened(before, after instance) []issued {
	known := map[string]bool{}
	for _, c := range before.outstanding() {
		known[c.step] = true
	}
	var fresh []issued
	for _, c := range after.outstanding() {
		if !known[c.step] {
			fresh = append(fresh, c)
		}
	}
	return fresh
}

func pause(ctx context.Context, most time.Duration) error {
	if most <= 0 {
		return nil
	}
	t := time.NewTimer(rand.N(most))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "SAGA_INTERRUPTED", "the saga is moved later")
	}
}
