package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// An editor changes a store that nobody else has open, while it is restored: it cuts the log off behind a position, or prolongs it by
// records as they were archived. The index follows from the records; derived keys are thrown away, and made anew by whoever wants them.
type editor struct {
	p       *pebble.DB
	batch   *pebble.Batch // indexed: what it holds is seen; nil: none begun
	last    Position
	to      Position
	swept   swept
	streams generations[string, *end]
	changed bool
}

// end is where a stream ends.
type end struct {
	id    Position // 0: there is none
	last  Revision
	empty bool
}

// Bounds of a batch. An iterator over an indexed batch goes through all of its range deletions each time it is made.
const (
	editBatch   = 4 << 20 // bytes
	editEntries = 256
)

func (e *editor) tx() *pebble.Batch {
	if e.batch == nil {
		e.batch = e.p.NewIndexedBatch()
	}
	return e.batch
}

// turn commits the batch if it has grown, or at once.
func (e *editor) turn(now bool) error {
	if e.batch == nil || !now && e.batch.Len() < editBatch && e.batch.Count() < editEntries {
		return nil
	}
	err := errors.Join(e.batch.Commit(pebble.NoSync), e.batch.Close())
	e.batch = nil
	return err
}

// cut removes everything behind position at.
func (e *editor) cut(ctx context.Context, at Position) (err error) {
	if e.last <= at {
		return nil
	}
	it, err := e.p.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, at+1), UpperBound: []byte{keyEvent + 1}})
	if err != nil {
		return readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.First(); ok; ok = it.Next() {
		p, ok := decodeEventKey(it.Key())
		if !ok {
			return corrupt(at+1, "the record is missing")
		}
		rec, err := decodeRecord(p, it.Value())
		switch {
		case errors.Is(err, errScavenged):
			e.swept.events--
		case err != nil:
			return corrupt(p, "%v", err)
		default:
			if err := e.cutEvent(&rec, at); err != nil {
				return err
			}
		}
		if err := errors.Join(e.turn(false), ctx.Err()); err != nil {
			return err
		}
	}
	if err := readFault(it.Error()); err != nil {
		return err
	}
	if e.swept.hi = min(e.swept.hi, at); e.swept.lo > at {
		e.swept.lo, e.swept.hi = 0, 0
	}
	e.last, e.changed = at, true
	return e.tx().DeleteRange(appendEventKey(nil, at+1), []byte{keyEvent + 1}, nil)
}

// cutEvent takes an event out of its stream's index, and a stream whose first event it is out of the store.
func (e *editor) cutEvent(rec *Record, at Position) error {
	id, err := idOf(e.tx(), rec.Stream)
	if err != nil || id == 0 { // its stream is gone already
		return err
	}
	first, err := e.first(id)
	if err != nil {
		return err
	}
	if first.position <= at {
		return e.tx().Delete(appendStreamKey(nil, id, rec.Revision), nil)
	}
	kept, err := keptFrom(e.tx(), id)
	if err != nil {
		return err
	}
	if kept > 0 {
		e.swept.marks--
	}
	return errors.Join(e.tx().Delete(appendNameKey(nil, rec.Stream), nil), e.tx().Delete(appendKeptKey(nil, id), nil),
		e.tx().DeleteRange(appendStreamKey(nil, id, 0), appendStreamKey(nil, id+1, 0), nil))
}

func (e *editor) index(id Position) (*pebble.Iterator, error) {
	it, err := e.tx().NewIter(&pebble.IterOptions{LowerBound: appendStreamKey(nil, id, 0), UpperBound: appendStreamKey(nil, id+1, 0)})
	return it, readFault(err)
}

func (e *editor) first(id Position) (first entry, err error) {
	it, err := e.index(id)
	if err != nil {
		return entry{}, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	if !it.First() {
		return entry{}, corrupt(id, "the stream that begins here has no index")
	}
	first, ok := decodeEntry(it.Key(), it.Value())
	if !ok {
		return entry{}, corrupt(id, "an index entry is malformed")
	}
	return first, nil
}

// idOf returns a stream's id, 0 if there is none.
func idOf(r pebble.Reader, stream string) (Position, error) {
	value, closer, err := r.Get(appendNameKey(nil, stream))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, readFault(err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return 0, ErrCorrupt.Because("the event store is damaged: a stream's name leads nowhere")
	}
	return Position(binary.BigEndian.Uint64(value)), nil
}

// add puts the record that was archived at p behind the last one.
func (e *editor) add(p Position, raw []byte) error {
	if p <= e.last {
		return nil
	}
	if p != e.last+1 {
		return ErrBackupDamaged.Because("the backup has no record for position %d", e.last+1)
	}
	rec, err := decodeRecord(p, raw)
	switch {
	case errors.Is(err, errScavenged):
		e.swept.events++
	case err != nil:
		return corrupt(p, "%v", err)
	default:
		if err := e.enlist(&rec); err != nil {
			return err
		}
	}
	e.last, e.changed = p, true
	return errors.Join(e.tx().Set(appendEventKey(nil, p), raw, nil), e.turn(false))
}

// enlist puts an event into its stream's index.
func (e *editor) enlist(rec *Record) error {
	s, err := e.end(rec.Stream)
	if err != nil {
		return err
	}
	next := s.last + 1
	if s.empty {
		next = 0
		s.id = rec.Position
		if err := e.tx().Set(appendNameKey(nil, rec.Stream), binary.BigEndian.AppendUint64(nil, uint64(s.id)), nil); err != nil {
			return err
		}
	}
	switch {
	case rec.Revision == Tombstone || rec.Revision == next:
	case rec.Revision > next && s.last != Tombstone: // what was before had been scavenged when this was archived
		if err := e.sweep(s, rec.Revision); err != nil {
			return err
		}
	default:
		return corrupt(rec.Position, "revision %d follows %d", rec.Revision, s.last)
	}
	s.last, s.empty = rec.Revision, false
	value := make([]byte, streamValLen)
	putStreamValue(value, rec.Position, rec.ID)
	return e.tx().Set(appendStreamKey(nil, s.id, rec.Revision), value, nil)
}

func (e *editor) end(stream string) (*end, error) {
	if s, ok := e.streams.get(stream); ok {
		return s, nil
	}
	id, err := idOf(e.tx(), stream)
	if err != nil {
		return nil, err
	}
	s := &end{id: id, empty: true}
	if id != 0 {
		it, err := e.index(id)
		if err != nil {
			return nil, err
		}
		if it.Last() {
			_, s.last, _ = decodeStreamKey(it.Key())
			s.empty = false
		}
		if err := errors.Join(readFault(it.Error()), readFault(it.Close())); err != nil {
			return nil, err
		}
	}
	e.streams.put(stream, s)
	return s, nil
}

// sweep does to a stream what the scavenge did that came between two segments: events below revision to are gone.
func (e *editor) sweep(s *end, to Revision) (err error) {
	kept, err := keptFrom(e.tx(), s.id)
	if err != nil {
		return err
	}
	if kept == 0 {
		e.swept.marks++
	}
	it, err := e.index(s.id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	var gone [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		line, ok := decodeEntry(it.Key(), it.Value())
		if !ok {
			return corrupt(s.id, "an index entry is malformed")
		}
		if err := e.stub(line.position); err != nil {
			return err
		}
		gone = append(gone, bytes.Clone(it.Key()))
	}
	for _, key := range gone {
		if err := e.tx().Delete(key, nil); err != nil {
			return err
		}
	}
	return errors.Join(readFault(it.Error()), e.tx().Set(appendKeptKey(nil, s.id), binary.BigEndian.AppendUint64(nil, uint64(to)), nil))
}

func (e *editor) stub(p Position) error {
	raw, closer, err := e.tx().Get(appendEventKey(nil, p))
	if err != nil {
		return corrupt(p, "the record is missing")
	}
	defer closer.Close()
	rec, err := decodeRecord(p, raw)
	if err != nil {
		return recordFault(p, err)
	}
	e.swept.events++
	e.swept.bytes += uint64(len(raw))
	return e.tx().Set(appendEventKey(nil, p), encodeStub(&rec, originalSum(raw)), nil)
}

// finish writes what the engine keeps about itself, and throws derived keys away if the log has changed.
func (e *editor) finish() error {
	if !e.changed {
		return nil
	}
	tx := e.tx()
	if e.swept.events > 0 || e.swept.marks > 0 {
		if err := tx.Set(sweptKey(), e.swept.encode(), nil); err != nil {
			return err
		}
	} else if err := tx.Delete(sweptKey(), nil); err != nil {
		return err
	}
	if err := eachDerived(func(lo, hi []byte) error {
		if hi == nil {
			hi = bytes.Repeat([]byte{0xff}, 64)
		}
		return tx.DeleteRange(lo, hi, nil)
	}); err != nil {
		return err
	}
	return e.turn(true)
}

// eachDerived calls f for every range of keys that are not the engine's own truth; the last one has no end.
func eachDerived(f func(lo, hi []byte) error) error {
	ours := []byte{keyEvent, keyOwn, keyName, keyStream, keyKept}
	for first := range 256 {
		if bytes.IndexByte(ours, byte(first)) >= 0 {
			continue
		}
		hi := []byte{byte(first + 1)}
		if first == 255 {
			hi = nil
		}
		if err := f([]byte{byte(first)}, hi); err != nil {
			return err
		}
	}
	return nil
}
