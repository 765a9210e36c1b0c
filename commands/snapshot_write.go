package commands

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// snapshots writes snapshots, one at a time, behind the commands that made them due, and reads them.
//
// A command only puts the stream's state, which never changes, into a queue of snapshotQueue; if it is full, the next append
// tries again. A snapshot that fails is told in the log and left: the stream makes another due. So the work is bounded whatever the
// load, and no command waits for it. Several processes that write the same stream look first whether another one did.
type snapshots struct {
	store *eventstore.Client
	log   *slog.Logger
	every int // events
	near  int // events: so many are read before a snapshot is asked for
	queue chan pending
}

// pending is a snapshot that is due.
type pending struct {
	stream eventstore.Stream
	head   snapshotHead
	heard  heard
	encode func() ([]byte, error) // of the state
}

const (
	snapshotQueue   = 16
	snapshotTimeout = 20 * time.Second // for one, with all its parts
	growth          = 16               // a long stream's snapshot is due when it grew by a 16th, so that n events cost n log n to keep
)

func newSnapshots(store *eventstore.Client, log *slog.Logger, every int) *snapshots {
	return &snapshots{store: store, log: log, every: every, near: every / 8, queue: make(chan pending, snapshotQueue)}
}

// due reports whether a stream that stands at a revision and has a snapshot of an older one (NoStream: none) needs another.
func (s *snapshots) due(saved, now eventstore.Revision) bool {
	return int(now-saved) >= max(s.every, int(saved+1)/growth)
}

// offer queues a snapshot of the stream if one is due. REQUIRES: e was just appended to, and its lane is led by the caller.
func offer[S any, E event](h *Handlers, a aggregate[S, E], stream eventstore.Stream, e *entry[S]) {
	if a.snapshots == nil || !h.snapshots.due(e.saved, e.revision) {
		return
	}
	state := e.state
	p := pending{stream: stream, head: snapshotHead{Stream: stream, Schema: a.snapshots.schema, Revision: e.revision, Event: e.last},
		heard: e.heard, encode: func() ([]byte, error) { return a.snapshots.encode(state) }}
	select {
	case h.snapshots.queue <- p:
		e.saved = e.revision
	default:
	}
}

// Run writes the snapshots that become due, until ctx ends; what is queued then is dropped. A process that doesn't run it reads
// snapshots and writes none.
func (h *Handlers) Run(ctx context.Context) error {
	for {
		select {
		case p := <-h.snapshots.queue:
			if err := h.snapshots.write(ctx, p); err != nil && ctx.Err() == nil {
				h.log.WarnContext(ctx, "no snapshot; the stream makes another due", slog.String("stream", string(snapshotOf(p.stream))), slog.Any("error", err))
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// write stores the snapshot, unless another process did. Faults: errTooLong, those of the store.
func (s *snapshots) write(ctx context.Context, p pending) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	target, at := snapshotOf(p.stream), eventstore.NoStream
	for rec, err := range s.store.ReadStreamBackwards(ctx, target, 1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			break
		}
		if err != nil {
			return err
		}
		at = rec.Revision
		if there, err := decodePart(rec); err == nil && there.Schema == p.head.Schema && there.Revision <= p.head.Revision && !s.due(there.Revision, p.head.Revision) {
			return nil
		}
	}
	events, err := p.events()
	if err != nil || len(events) == 0 {
		return err
	}
	if err := s.keep(ctx, target, len(events), p.head.Event); err != nil {
		return err
	}
	for _, e := range events {
		done, err := s.store.Append(ctx, target, at, []eventstore.Event{e})
		if errors.Is(err, eventstore.ErrWrongRevision) {
			return nil // another process writes one
		}
		if err != nil {
			return err
		}
		at = done.Revision
	}
	return nil
}

// events draws the picture; none if the commands of some revisions aren't known.
func (p pending) events() ([]eventstore.Event, error) {
	marks, ok := p.heard.bytes(p.head.Revision)
	if !ok {
		return nil, nil
	}
	state, err := p.encode()
	if err != nil {
		return nil, err
	}
	return picture{p.head, marks, state}.encode()
}

// keep tells the store to keep the newest n events of the stream, if it was told otherwise.
func (s *snapshots) keep(ctx context.Context, target eventstore.Stream, n int, cause uuid.UUID) error {
	meta, at, known := "$$"+target, eventstore.NoStream, map[string]json.RawMessage{}
	for rec, err := range s.store.ReadStreamBackwards(ctx, meta, 1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			break
		}
		if err == nil {
			at, err = rec.Revision, json.Unmarshal(rec.Data, &known)
		}
		if err != nil {
			return fault.Wrap(err, fault.Internal, "STREAM_METADATA_MALFORMED", "the metadata of the snapshot stream can't be read")
		}
	}
	count, err := json.Marshal(n)
	if err != nil || string(known["$maxCount"]) == string(count) {
		return err
	}
	known["$maxCount"] = count
	data, err := json.Marshal(known)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "STREAM_METADATA_MALFORMED", "the metadata of the snapshot stream can't be encoded")
	}
	_, err = s.store.Append(ctx, meta, at, []eventstore.Event{{ID: eventstore.EventID(cause, 0, data), Type: "$metadata", Data: data, Metadata: []byte("{}")}})
	if errors.Is(err, eventstore.ErrWrongRevision) {
		return nil // another process told it
	}
	return err
}

// newest reads what the snapshot stream of a stream keeps, newest first; nothing if there is none.
func (s *snapshots) newest(ctx context.Context, stream eventstore.Stream) ([]eventstore.Recorded, error) {
	var found []eventstore.Recorded
	for rec, err := range s.store.ReadStreamBackwards(ctx, snapshotOf(stream), maxParts) {
		if errors.Is(err, eventstore.ErrNoStream) || errors.Is(err, eventstore.ErrStreamDeleted) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, rec)
	}
	return found, nil
}
