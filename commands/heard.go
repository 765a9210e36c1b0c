package commands

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// heard says which command each event of a stream came from, as a mark of four bytes a revision.
//
// A stream that is loaded from a snapshot is not read from its head, and yet a command whose events stand there must be answered
// as the first time, for as long as the stream is (docs/adr/0005-idempotency.md). So a snapshot carries the marks: a command whose mark
// is not among them was never here, and that is nearly every one; where the mark is, the event at that revision is read
// and says whether it is the same command. Marks decide nothing by themselves, so two commands with one mark do no harm.
//
// The order of marks is that of revisions, and a stream never changes: two entries of one stream may share the array below
// their own lengths.
type heard struct {
	marks   []uint32 // by revision, from 0
	covered int      // marks below it came from a snapshot: these commands are not in entry.commands
	sieve   []uint64 // of the covered marks: one bit of 16 to 32 a mark
}

// mark is the first 32 bits of a command id, which is a hash.
func mark(id uuid.UUID) uint32 { return binary.BigEndian.Uint32(id[:4]) }

// add notes the command of the event at the revision. Where a stream lost its head there is nothing to number by, and no snapshot
// is made.
func (h *heard) add(rev eventstore.Revision, id uuid.UUID) {
	if int(rev) == len(h.marks) {
		h.marks = append(h.marks, mark(id))
	}
}

// bytes returns the marks of all revisions, or false if some are not known.
func (h heard) bytes(last eventstore.Revision) ([]byte, bool) {
	if len(h.marks) != int(last)+1 {
		return nil, false
	}
	out := make([]byte, 0, 4*len(h.marks))
	for _, m := range h.marks {
		out = binary.BigEndian.AppendUint32(out, m)
	}
	return out, true
}

// heardFrom reads what bytes wrote, all of it covered.
func heardFrom(data []byte) heard {
	h := heard{marks: make([]uint32, len(data)/4), covered: len(data) / 4}
	words := 1
	for words*4 < h.covered { // 64 bits a word: at least 16 bits a mark
		words *= 2
	}
	h.sieve = make([]uint64, words)
	for i := range h.marks {
		m := binary.BigEndian.Uint32(data[4*i:])
		h.marks[i] = m
		h.sieve[h.word(m)] |= 1 << (m & 63)
	}
	return h
}

// word is where in the sieve the mark's bit is. The number of words is a power of two.
func (h heard) word(m uint32) uint32 { return m >> 6 & uint32(len(h.sieve)-1) } //nolint:gosec // below 2^30

// where yields the covered revisions that hold the mark, newest first.
func (h heard) where(id uuid.UUID) iter.Seq[eventstore.Revision] {
	return func(yield func(eventstore.Revision) bool) {
		m := mark(id)
		if h.covered == 0 || h.sieve[h.word(m)]&(1<<(m&63)) == 0 {
			return
		}
		for i := h.covered - 1; i >= 0; i-- {
			if h.marks[i] == m && !yield(eventstore.Revision(i)) {
				return
			}
		}
	}
}

// recall reads the events of those commands among the jobs that a snapshot covers, so that they are answered from e.commands.
// REQUIRES: the caller leads the stream's lane.
func recall[S any, E event](ctx context.Context, h *Handlers, stream eventstore.Stream, e *entry[S], jobs []*job[S, E]) error {
	for _, j := range jobs {
		if _, known := e.commands[j.r.Command]; known {
			continue
		}
		for rev := range e.heard.where(j.r.Command) {
			rec, err := h.at(ctx, stream, rev)
			if errors.Is(err, eventstore.ErrNoStream) {
				return errHeadGone
			}
			if err != nil {
				return err
			}
			meta, err := eventstore.DecodeMetadata(rec.Metadata)
			if err != nil {
				return err
			}
			if meta.Command == j.r.Command.String() {
				e.commands[j.r.Command] = applied{mac: meta.InputMAC, revision: rec.Revision, position: rec.Position, correlation: meta.Correlation}
				break
			}
		}
	}
	return nil
}

// at reads one event. Fault: ErrNoStream if the stream has none at the revision.
func (h *Handlers) at(ctx context.Context, stream eventstore.Stream, rev eventstore.Revision) (eventstore.Recorded, error) {
	for rec, err := range h.store.ReadStream(ctx, stream, rev) {
		if err == nil && rec.Revision != rev {
			break // its head was cut off
		}
		return rec, err
	}
	return eventstore.Recorded{}, eventstore.ErrNoStream
}

var errHeadGone = fault.New(fault.Internal, "STREAM_HEAD_GONE", "an event that a snapshot covers is not in the stream any more")
