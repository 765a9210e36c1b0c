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
	target := snapshotOf(p.stream)
	newest, err := s.end(ctx, target)
	if err != nil {
		return err
	}
	if there, err := decodePart(newest); err == nil && there.Schema == p.head.Schema && there.Revision <= p.head.Revision && !s.due(there.Revision, p.head.Revision) {
		return nil
	}
	events, err := p.events()
	if err != nil || len(events) == 0 {
		return err
	}
	unhidden, err := s.keep(ctx, target, len(events), p.head.Event)
	if err == nil && unhidden { // what was hidden is where the stream ends
		newest, err = s.end(ctx, target)
	}
	if err != nil {
		return err
	}
	at := newest.Revision
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

// end returns the newest event that a stream shows; one at NoStream if it shows none. Faults: those of the store.
func (s *snapshots) end(ctx context.Context, stream eventstore.Stream) (eventstore.Recorded, error) {
	for rec, err := range s.store.ReadStreamBackwards(ctx, stream, 1) {
		if errors.Is(err, eventstore.ErrNoStream) {
			break
		}
		return rec, err
	}
	return eventstore.Recorded{Revision: eventstore.NoStream}, nil
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

// hiding are the keys of a stream's metadata, beside $maxCount, that keep its events from readers. A snapshot stream that somebody gave one of them (a
// deletion is a $tb) would hide every snapshot to come as well, and its end, without which nothing can be appended.
var hiding = []string{"$tb", "$maxAge"}

// keep tells the store to keep the newest n events of the stream and to hide none of them, if it was told otherwise. It reports whether some
// may have been hidden before. Metadata that is no JSON object means nothing to the store, and is replaced. Faults: those of the store.
func (s *snapshots) keep(ctx context.Context, target eventstore.Stream, n int, cause uuid.UUID) (unhidden bool, err error) {
	meta := "$$" + target
	told, err := s.end(ctx, meta)
	if err != nil {
		return false, err
	}
	known := map[string]json.RawMessage{}
	if told.Revision != eventstore.NoStream && json.Unmarshal(told.Data, &known) != nil || known == nil {
		known = map[string]json.RawMessage{}
	}
	for _, key := range hiding {
		_, hides := known[key]
		unhidden = unhidden || hides
		delete(known, key)
	}
	count, err := json.Marshal(n)
	if err != nil || string(known["$maxCount"]) == string(count) && !unhidden {
		return false, err
	}
	known["$maxCount"] = count
	data, err := json.Marshal(known)
	if err != nil {
		return false, fault.Wrap(err, fault.Internal, "STREAM_METADATA_MALFORMED", "the metadata of the snapshot stream can't be encoded")
	}
	_, err = s.store.Append(ctx, meta, told.Revision, []eventstore.Event{{ID: eventstore.EventID(cause, 0, data), Type: "$metadata", Data: data, Metadata: []byte("{}")}})
	if errors.Is(err, eventstore.ErrWrongRevision) {
		return unhidden, nil // another process told it
	}
	return unhidden, err
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
