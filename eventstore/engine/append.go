package engine

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
)

// Append stores events at the end of stream, all or none, if the stream is where expected says. It answers when they are
// durable and readable.
//
// A repeated append (equal event ids, same stream) isn't stored again: it gets the first one's answer. With an exact
// expectation or ExpectNoStream that holds for ever; with ExpectAny and ExpectExists if the first event is among the
// last 1024 of the stream.
//
// Faults: ErrInvalidAppend, ErrTooLarge, *RevisionError (nothing was stored), ErrStreamDeleted, ErrCorrupt, ErrClosed,
// and ErrOutcomeUnknown if ctx ended while the append was being written.
func (db *DB) Append(ctx context.Context, stream string, expected Expected, events []Event) (Appended, error) {
	if err := db.checkAppend(stream, expected, events); err != nil {
		return Appended{}, err
	}
	return db.commit(ctx, &request{kind: appendEvents, stream: stream, expected: expected, events: events})
}

// Delete ends a stream softly: reading it finds nothing, appending to it recreates it with its numbering going on. The events stay
// in the log. The answer's position is that of the metadata event which says so. Faults: as Append; the *RevisionError of a stream
// that isn't there has Current -1.
func (db *DB) Delete(ctx context.Context, stream string, expected Expected) (Position, error) {
	return db.end(ctx, deleteSoftly, stream, expected)
}

// Tombstone ends a stream for ever, also one that has no event yet: whoever reads or writes it gets ErrStreamDeleted.
func (db *DB) Tombstone(ctx context.Context, stream string, expected Expected) (Position, error) {
	return db.end(ctx, tombstone, stream, expected)
}

func (db *DB) end(ctx context.Context, kind requestKind, stream string, expected Expected) (Position, error) {
	if err := db.checkAppend(stream, expected, nil); err != nil {
		return 0, err
	}
	if strings.HasPrefix(stream, MetadataPrefix) {
		return 0, ErrInvalidAppend.Because("a metadata stream can't be deleted; delete the stream it belongs to, or write other metadata")
	}
	done, err := db.commit(ctx, &request{kind: kind, stream: stream, expected: expected})
	return done.Position, err
}

func (db *DB) checkAppend(stream string, expected Expected, events []Event) error {
	if err := CheckStream(stream); err != nil {
		return err
	}
	if LinkStream(stream) {
		return ErrLinkStream
	}
	if expected < 0 && expected != ExpectAny && expected != ExpectNoStream && expected != ExpectExists {
		return ErrInvalidAppend.Because("%d is no expected revision", expected)
	}
	size := 0
	for i := range events {
		e := &events[i]
		if e.Type == "" || e.ID == (ID{}) {
			return ErrInvalidAppend.Because("event %d has no type or no id", i)
		}
		size += len(e.Data) + len(e.Metadata) + len(e.Type)
	}
	if size > db.cfg.MaxAppendBytes {
		return ErrTooLarge.Because("the append has %d bytes, the limit is %d; split it", size, db.cfg.MaxAppendBytes)
	}
	return nil
}

// CheckStream returns ErrInvalidAppend if name can't name a stream.
func CheckStream(name string) error {
	switch {
	case name == "":
		return ErrInvalidAppend.Because("the stream has no name")
	case name == "$all":
		return ErrInvalidAppend.Because("$all is the whole log, not a stream")
	case len(name) > maxStreamName:
		return ErrInvalidAppend.Because("the stream's name has %d bytes, the limit is %d", len(name), maxStreamName)
	case !utf8.ValidString(name):
		return ErrInvalidAppend.Because("the stream's name is not UTF-8")
	}
	return nil
}

// requestKind is what a request wants.
type requestKind uint8

const (
	appendEvents requestKind = iota
	deleteSoftly
	tombstone
	sweepStream
	sweptAll
)

// A request waits in the queue until a leader has decided it; done and err are the leader's until turn has spoken.
type request struct {
	kind     requestKind
	stream   string
	expected Expected
	events   []Event
	sweep    *sweep // of sweepStream

	begun time.Time
	done  Appended
	err   error
	turn  chan turn // capacity 1
}

// turn wakes a waiting request.
type turn uint8

const (
	finished turn = iota
	lead          // nobody leads: take the queue
)

// Ticket is a place in the queue: appends are decided in the order of Begin. Wait must be called, once and soon: whoever waits
// may have to write for all.
type Ticket struct {
	db *DB
	r  *request
}

// Begin is the first half of Append, for callers who pipeline: it takes a place in the queue and returns at once. Faults that
// need no look at the log (ErrInvalidAppend, ErrTooLarge, ErrClosed) come from here.
func (db *DB) Begin(stream string, expected Expected, events []Event) (*Ticket, error) {
	if err := db.checkAppend(stream, expected, events); err != nil {
		return nil, err
	}
	return db.queue(&request{kind: appendEvents, stream: stream, expected: expected, events: events})
}

func (db *DB) queue(r *request) (*Ticket, error) {
	if db.cfg.readOnly {
		return nil, ErrReadOnly
	}
	if err := db.enter(); err != nil {
		return nil, err
	}
	r.begun = time.Now()
	r.turn = make(chan turn, 1)
	db.commits.join(r)
	return &Ticket{db, r}, nil
}

// Wait is the second half of Append.
func (t *Ticket) Wait(ctx context.Context) (Appended, error) {
	defer t.db.leave()
	select {
	case turn := <-t.r.turn:
		if turn == lead {
			t.db.commits.lead(t.r)
		}
		t.db.metrics.seconds.Observe(time.Since(t.r.begun).Seconds())
		return t.r.done, t.r.err
	case <-ctx.Done():
		return t.db.commits.abandon(t.r)
	}
}

func (db *DB) commit(ctx context.Context, r *request) (Appended, error) {
	if err := ctx.Err(); err != nil {
		return Appended{}, fault.Wrap(err, fault.Timeout, "DEADLINE_EXCEEDED", "the append was not begun")
	}
	t, err := db.queue(r)
	if err != nil {
		return Appended{}, err
	}
	return t.Wait(ctx)
}
