package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/internal/fault"
)

// Verified says what a verification has seen.
type Verified struct {
	Position  Position `json:"position"`  // the log's last, up to which everything was checked
	Events    uint64   `json:"events"`    // readable
	Scavenged uint64   `json:"scavenged"` // positions whose event was scavenged
	Streams   uint64   `json:"streams"`
	Bytes     uint64   `json:"bytes"`   // of the log's records
	Derived   uint64   `json:"derived"` // keys that can be made anew from the log; they were read, not compared

	// Digest is SHA-256 over the checksums of all events up to Position, as they were written: two stores with one digest hold one
	// history, although one may have been scavenged.
	Digest string `json:"digest"`
}

// Verify reads everything and compares the log with the index and the index with the log: every position has a sound record, every event
// its line in its stream's index and its stream's name, every line its event, revisions are without holes. It may run while the store
// works, and then checks what was readable when it began. Memory doesn't grow with the store. progress, which may be nil, is told how many
// positions of how many are done.
//
// Faults: ErrCorrupt, which names the first bad position or stream; ErrClosed; timeout if ctx ended.
func (db *DB) Verify(ctx context.Context, progress func(done, of Position)) (Verified, error) {
	if err := db.enter(); err != nil {
		return Verified{}, err
	}
	defer db.leave()
	bound := db.Last()
	snapshot := db.pebble.NewSnapshot()
	v := newVerifier(snapshot, bound, progress)
	err := v.all(ctx)
	if err == nil {
		err = db.pebble.CheckLevels(nil)
		if err != nil {
			err = fault.Wrap(firstLine{err}, ErrCorrupt.Kind, ErrCorrupt.Code, "the event store is damaged: its tables are out of order")
		}
	}
	err = errors.Join(err, snapshot.Close())
	return v.done, fault.Wrap(err, fault.Internal, "STORE_READ", "the event store can't read its files")
}

func newVerifier(from pebble.Reader, bound Position, progress func(done, of Position)) *verifier {
	return &verifier{from: from, bound: bound, sum: sha256.New(), ids: newGenerations[string, Position](cachedHeads), progress: progress,
		done: Verified{Position: bound}}
}

type verifier struct {
	from     pebble.Reader
	bound    Position // later keys are not durable yet
	sum      hash.Hash
	ids      generations[string, Position]
	progress func(done, of Position)
	done     Verified
	marks    uint64
}

func (v *verifier) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{v.log, v.index, v.names, v.kept, v.own, v.derived} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// walk calls f for every key from lo, before hi; at names what is read, for Pebble's own complaints.
func (v *verifier) walk(ctx context.Context, lo, hi []byte, at func() error, f func(key, value []byte) error) (err error) {
	it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(at(), readFault(err))
		}
		if err := f(it.Key(), value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return errors.Join(at(), readFault(err))
	}
	return nil
}

// log checks every record, and that the index has its line.
func (v *verifier) log(ctx context.Context) error {
	expect := Position(1)
	at := func() error { return corrupt(expect, "the table that holds the record can't be read") }
	err := v.walk(ctx, []byte{keyEvent}, appendEventKey(nil, v.bound+1), at, func(key, value []byte) error {
		if p, ok := decodeEventKey(key); !ok || p != expect {
			return corrupt(expect, "the record is missing")
		}
		if err := v.record(expect, value); err != nil {
			return err
		}
		if v.progress != nil && expect%8192 == 0 {
			v.progress(expect, v.bound)
		}
		expect++
		return nil
	})
	v.done.Digest = hex.EncodeToString(v.sum.Sum(nil))
	if err == nil && expect != v.bound+1 {
		return corrupt(expect, "the record is missing")
	}
	return err
}

func (v *verifier) record(p Position, value []byte) error {
	r, err := decodeRecord(p, value)
	v.done.Bytes += uint64(len(value))
	if errors.Is(err, errScavenged) {
		v.done.Scavenged++
		v.add(value)
		return nil
	}
	if err != nil {
		return corrupt(p, "%v", err)
	}
	v.done.Events++
	v.add(value)
	id, err := v.id(p, r.Stream)
	if err != nil {
		return err
	}
	line, err := v.get(appendStreamKey(make([]byte, 0, streamKeyLen), id, r.Revision))
	if err != nil {
		return errors.Join(corrupt(p, "its stream's index can't be read"), err)
	}
	want := make([]byte, streamValLen)
	putStreamValue(want, p, r.ID)
	if !bytes.Equal(line, want) {
		return corrupt(p, "its stream's index does not have it at revision %d", r.Revision)
	}
	return nil
}

func (v *verifier) add(value []byte) {
	_, _ = v.sum.Write(binary.BigEndian.AppendUint32(make([]byte, 0, 4), originalSum(value))) // a hash never fails
}

// id finds the stream of the event at p.
func (v *verifier) id(p Position, stream string) (Position, error) {
	if id, ok := v.ids.get(stream); ok {
		return id, nil
	}
	value, err := v.get(appendNameKey(nil, stream))
	if err != nil {
		return 0, errors.Join(corrupt(p, "its stream's name can't be read"), err)
	}
	if len(value) != 8 || Position(binary.BigEndian.Uint64(value)) > p {
		return 0, corrupt(p, "its stream's name leads nowhere")
	}
	id := Position(binary.BigEndian.Uint64(value))
	v.ids.put(stream, id)
	return id, nil
}

// get returns nil for a key that isn't there.
func (v *verifier) get(key []byte) ([]byte, error) {
	value, closer, err := v.from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, readFault(err)
	}
	defer closer.Close()
	return bytes.Clone(value), nil
}

// index checks that every stream's lines are without holes, and that there are no more of them than events.
func (v *verifier) index(ctx context.Context) error {
	var id Position
	var next Revision
	var before Position
	lines := uint64(0)
	at := func() error { return corrupt(max(id, 1), "the index behind the stream that begins here can't be read") }
	err := v.walk(ctx, []byte{keyStream}, []byte{keyStream + 1}, at, func(key, value []byte) error {
		stream, r, ok := decodeStreamKey(key)
		if !ok || len(value) != streamValLen {
			return corrupt(max(id, 1), "an index entry behind the stream that begins here is malformed")
		}
		p := Position(binary.BigEndian.Uint64(value))
		if p > v.bound {
			return nil
		}
		if stream != id {
			v.done.Streams++
			id, next, before = stream, 0, 0
			if r > 0 && r != Tombstone {
				kept, err := keptFrom(v.from, id)
				if err != nil {
					return err
				}
				next = kept
			}
		}
		if r != next && r != Tombstone {
			return corrupt(id, "the stream that begins here lacks revision %d", next)
		}
		if p <= before || p < id {
			return corrupt(id, "the index of the stream that begins here goes back at revision %d", r)
		}
		next, before = r+1, p
		lines++
		return nil
	})
	if err == nil && lines != v.done.Events {
		err = v.orphan(ctx)
	}
	return err
}

// orphan finds an index entry without an event.
func (v *verifier) orphan(ctx context.Context) error {
	var id Position
	at := func() error { return corrupt(max(id, 1), "the index behind the stream that begins here can't be read") }
	err := v.walk(ctx, []byte{keyStream}, []byte{keyStream + 1}, at, func(key, value []byte) error {
		stream, r, _ := decodeStreamKey(key)
		e, _ := decodeEntry(key, value)
		id = stream
		if e.position > v.bound {
			return nil
		}
		raw, err := v.get(appendEventKey(nil, e.position))
		if err != nil {
			return err
		}
		rec, err := decodeRecord(e.position, raw)
		if err != nil || rec.Revision != r || rec.ID != e.id {
			return corrupt(e.position, "an index has this position at revision %d, and the log has not", r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return ErrCorrupt.Because("the event store is damaged: the index has more entries than the log has events")
}

// names checks that every name leads to a stream.
func (v *verifier) names(ctx context.Context) error {
	names := uint64(0)
	at := func() error {
		return ErrCorrupt.Because("the event store is damaged: the names of streams can't be read")
	}
	err := v.walk(ctx, []byte{keyName}, []byte{keyName + 1}, at, func(key, value []byte) error {
		if len(value) != 8 {
			return ErrCorrupt.Because("the event store is damaged: the name of the stream %q leads nowhere", key[1:])
		}
		if id := Position(binary.BigEndian.Uint64(value)); id <= v.bound {
			names++
		}
		return nil
	})
	if err == nil && names != v.done.Streams {
		return ErrCorrupt.Because("the event store is damaged: %d streams have events, %d have a name", v.done.Streams, names)
	}
	return err
}

// kept checks the marks of scavenged streams.
func (v *verifier) kept(ctx context.Context) error {
	at := func() error {
		return ErrCorrupt.Because("the event store is damaged: the marks of scavenged streams can't be read")
	}
	return v.walk(ctx, []byte{keyKept}, []byte{keyKept + 1}, at, func(key, value []byte) (err error) {
		v.marks++
		if len(key) != 9 || len(value) != 8 {
			return ErrCorrupt.Because("the event store is damaged: the mark of a scavenged stream is malformed")
		}
		id, kept := Position(binary.BigEndian.Uint64(key[1:])), Revision(binary.BigEndian.Uint64(value))
		it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: appendStreamKey(nil, id, 0), UpperBound: appendStreamKey(nil, id+1, 0)})
		if err != nil {
			return readFault(err)
		}
		defer func() { err = errors.Join(err, readFault(it.Close())) }()
		if !it.First() {
			return errors.Join(corrupt(id, "the stream that begins here was scavenged, and has no event left"), readFault(it.Error()))
		}
		if _, r, _ := decodeStreamKey(it.Key()); r != kept && r != Tombstone {
			return corrupt(id, "the stream that begins here was scavenged up to revision %d, and begins with %d", kept, r)
		}
		return nil
	})
}

// own checks what the engine keeps about itself.
func (v *verifier) own(context.Context) error {
	s, err := loadSwept(v.from)
	if err != nil {
		return err
	}
	if s.events != v.done.Scavenged {
		return ErrCorrupt.Because("the event store is damaged: %d events were scavenged, and %d positions say so", s.events, v.done.Scavenged)
	}
	if s.marks != v.marks {
		return ErrCorrupt.Because("the event store is damaged: %d streams were scavenged, and %d are marked so", s.marks, v.marks)
	}
	return nil
}

// derived reads the keys between ours.
func (v *verifier) derived(ctx context.Context) error {
	at := func() error {
		return ErrCorrupt.Because("the event store is damaged: keys that can be made anew from the log can't be read")
	}
	return eachDerived(func(lo, hi []byte) error {
		return v.walk(ctx, lo, hi, at, func([]byte, []byte) error { v.done.Derived++; return nil })
	})
}
