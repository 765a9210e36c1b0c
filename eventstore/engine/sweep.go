package engine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

// What a scavenge does to the keys. The scavenger (scavenge.go) proposes events of one stream that nobody can read any more; the leader
// of the log, who alone knows what the stream's metadata says at this instant, takes those of which that still holds, and
// writes the change in one batch like an append's: so it is decided in one order with all appends, is durable when it is answered, and
// is there whole or not at all after a crash.

// A fate says which events of a stream nobody can read any more. The last event stays, since it tells the stream's revision, but for
// the metadata of a stream that has ended.
type fate struct {
	first  Revision // events before it are gone
	last   Revision // the stream's
	oldest Ticks    // those created before are gone too, if they are not the last
}

// fateOf judges a stream that is at last, with limits l. now is for $maxAge.
func (db *DB) fateOf(l Limits, last Revision, metadata, parentEnded bool) fate {
	switch {
	case last == Tombstone:
		return fate{first: Tombstone, last: last}
	case parentEnded:
		return fate{first: last + 1, last: last}
	case metadata:
		l = Limits{MaxCount: 1} // a reader sees the last one
	}
	return fate{first: min(l.firstReadable(last), last), last: last, oldest: db.oldest(l)}
}

// open reports whether any event may be gone when the stream begins at r.
func (f fate) open(r Revision) bool { return r < f.first || r < f.last && f.oldest > 0 }

func (f fate) takes(r Revision, created Ticks) bool {
	return r < f.first || r < f.last && created < f.oldest
}

// A victim is an event that the scavenger found unreadable.
type victim struct {
	revision Revision
	position Position
	created  Ticks
	stub     []byte // what takes its place
	size     int    // of its record
}

// sweep is what the scavenger asks of the leader: the first events that the stream id still has, in order.
type sweep struct {
	id      Position
	victims []victim

	// the answer
	taken int
	bytes uint64 // of their records
}

// swept is what the engine keeps about its scavenges, under the key 'm' "scavenged".
type swept struct {
	events, bytes uint64
	marks         uint64   // 't' keys
	lo, hi        Position // where tables still hold what was taken away; none if lo is 0
}

const sweptLen = 4 + 5*8

func sweptKey() []byte { return append([]byte{keyOwn}, "scavenged"...) }

func (s swept) encode() []byte {
	b := make([]byte, 4, sweptLen)
	for _, n := range []uint64{s.events, s.bytes, s.marks, uint64(s.lo), uint64(s.hi)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b
}

func decodeSwept(b []byte) (swept, error) {
	if len(b) != sweptLen || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli()) {
		return swept{}, ErrCorrupt.Because("the event store is damaged: what it keeps about its scavenges can't be trusted")
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[4+8*i:]) }
	return swept{n(0), n(1), n(2), Position(n(3)), Position(n(4))}, nil
}

func loadSwept(r pebble.Reader) (swept, error) {
	value, closer, err := r.Get(sweptKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return swept{}, nil
	}
	if err != nil {
		return swept{}, readFault(err)
	}
	defer closer.Close()
	return decodeSwept(value)
}

// keptFrom returns the revision below which a stream was scavenged, 0 if it was not.
func (db *DB) keptFrom(id Position) (Revision, error) {
	if !db.gaps.Load() {
		return 0, nil
	}
	return keptFrom(db.pebble, id)
}

func keptFrom(r pebble.Reader, id Position) (Revision, error) {
	value, closer, err := r.Get(appendKeptKey(make([]byte, 0, 9), id))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, readFault(err)
	}
	defer closer.Close()
	if len(value) != 8 {
		return 0, corrupt(id, "the mark of what is left of the stream that begins here is malformed")
	}
	return Revision(binary.BigEndian.Uint64(value)), nil
}

// scavenge is the leader's part.
func (c *commits) scavenge(q *request) (Appended, error) {
	if q.kind == sweptAll {
		c.swept.lo, c.swept.hi = 0, 0
		c.set(sweptKey(), c.swept.encode())
		return Appended{}, nil
	}
	s, err := c.heads.load(q.stream)
	if err != nil || s.own.id != q.sweep.id {
		return Appended{}, err
	}
	var l Limits
	if s.meta != nil {
		l = s.meta.limits
	}
	f := c.db.fateOf(l, Revision(s.own.last), s.parent != nil, s.parent != nil && s.parent.tombstoned())
	victims := q.sweep.victims
	n := 0
	for n < len(victims) && f.takes(victims[n].revision, victims[n].created) {
		n++
	}
	if n > 0 {
		c.remove(s.own, q.stream, victims[:n], q.sweep)
	}
	return Appended{}, nil
}

// remove puts stubs in the place of victims and takes them out of the index; of a stream that loses its last event nothing is left.
func (c *commits) remove(h *head, stream string, victims []victim, answer *sweep) {
	c.db.gaps.Store(true) // before the first reader can meet a stub
	for _, v := range victims {
		c.set(appendEventKey(c.scratch[:0], v.position), v.stub)
		c.unset(appendStreamKey(c.scratch[:0], h.id, v.revision))
		answer.taken++
		answer.bytes += uint64(v.size)
	}
	c.heads.recents.forget(h.id)
	h.round = c.round // whoever looks into the stream's index settles this batch first
	first, last := victims[0], victims[len(victims)-1]
	c.swept.took(victims, answer.bytes)
	marked := first.revision > 0 // by an earlier sweep
	switch {
	case int64(last.revision) == h.last:
		c.unset(appendNameKey(c.scratch[:0], stream))
		if marked {
			c.unset(appendKeptKey(c.scratch[:0], h.id))
			c.swept.marks--
		}
		*h = head{last: -1, round: h.round}
	default:
		c.set(appendKeptKey(c.scratch[:0], h.id), binary.BigEndian.AppendUint64(nil, uint64(last.revision+1)))
		if !marked {
			c.swept.marks++
		}
	}
	c.set(sweptKey(), c.swept.encode())
}

// took counts victims, which had so many bytes.
func (s *swept) took(victims []victim, size uint64) {
	first, last := victims[0].position, victims[len(victims)-1].position
	s.events += uint64(len(victims))
	s.bytes += size
	s.hi = max(s.hi, last)
	if s.lo == 0 || first < s.lo {
		s.lo = first
	}
}

func (c *commits) set(key, value []byte) {
	if c.batch == nil {
		c.batch = c.db.pebble.NewBatch()
	}
	if err := c.batch.Set(key, value, nil); err != nil {
		c.db.crash(err)
	}
}

// unset deletes a key. REQUIRES: c.batch was begun.
func (c *commits) unset(key []byte) {
	if err := c.batch.Delete(key, nil); err != nil {
		c.db.crash(err)
	}
}
