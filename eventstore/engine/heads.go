package engine

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Sizes of the leader's caches: streams, and streams whose latest ids are kept for ExpectAny.
const (
	cachedHeads   = 8192 // more than one group can touch (two a request), so nothing of the current group is ever forgotten
	cachedRecents = 64
	recallWindow  = 1024 // events of a stream that an append with ExpectAny is compared with
)

// head is where a stream ends, as of the last event written (not yet necessarily visible).
type head struct {
	id     Position // position of the first event, 0: there is none
	last   int64    // last revision, -1: there is none
	at     Position // position of the last event
	round  uint64   // the batch that touched it last
	limits Limits   // of a metadata stream: what its last event says
}

func (h *head) tombstoned() bool { return h.last == int64(Tombstone) }

// state is a stream together with what decides over it.
type state struct {
	own    *head
	meta   *head // of "$$stream"; nil if the stream is itself a metadata stream
	parent *head // of x if the stream is "$$x", else nil
}

func (s state) situation() situation {
	now := situation{last: s.own.last, ended: s.own.tombstoned()}
	if s.parent != nil {
		now.ended = now.ended || s.parent.tombstoned()
		return now
	}
	now.deleted = s.meta.limits.SoftDeleted()
	now.described = s.meta.id != 0
	return now
}

// heads knows the streams written lately. Only the leader uses it.
type heads struct {
	db      *DB
	streams generations[string, *head]
	recents generations[Position, []entry] // by stream id, oldest first
	touched []string                       // streams of the batch being filled
}

func newHeads(db *DB) heads {
	return heads{db: db, streams: newGenerations[string, *head](cachedHeads), recents: newGenerations[Position, []entry](cachedRecents)}
}

func (hs *heads) load(stream string) (state, error) {
	own, err := hs.get(stream)
	if err != nil {
		return state{}, err
	}
	if parent, ok := strings.CutPrefix(stream, MetadataPrefix); ok {
		p, err := hs.get(parent)
		return state{own: own, parent: p}, err
	}
	if !hs.db.described.may(stream) {
		return state{own: own, meta: &head{last: -1}}, nil // comes into the cache if it is written
	}
	meta, err := hs.get(MetadataPrefix + stream)
	return state{own: own, meta: meta}, err
}

// born takes note of a stream that gets its first event.
func (hs *heads) born(h *head, stream string) {
	hs.db.known.add(stream)
	if parent, ok := strings.CutPrefix(stream, MetadataPrefix); ok {
		hs.db.described.add(parent)
		hs.streams.put(stream, h)
	}
}

func (hs *heads) get(stream string) (*head, error) {
	if h, ok := hs.streams.get(stream); ok {
		return h, nil
	}
	h := &head{last: -1}
	id, err := hs.db.streamID(stream)
	if err != nil {
		return nil, err
	}
	if id != 0 {
		e, err := hs.db.lastEntry(id, End)
		if err != nil {
			return nil, err
		}
		h.id, h.last, h.at = id, int64(e.revision), e.position
		if strings.HasPrefix(stream, MetadataPrefix) {
			if h.limits, err = hs.db.limitsAt(e.position); err != nil {
				return nil, err
			}
		}
	}
	hs.streams.put(stream, h)
	return h, nil
}

// wrote moves a head. h is in the cache, or was when the group began.
func (hs *heads) wrote(h *head, stream string, e entry, round uint64) {
	h.last, h.at, h.round = int64(e.revision), e.position, round
	if n := len(hs.touched); n == 0 || hs.touched[n-1] != stream {
		hs.touched = append(hs.touched, stream)
	}
	if recent, ok := hs.recents.get(h.id); ok {
		if len(recent) >= 2*recallWindow {
			recent = slices.Delete(recent, 0, len(recent)-recallWindow)
		}
		hs.recents.put(h.id, append(recent, e))
	}
}

// recall counts how many of q's events, from the first on, are already in its stream, and returns the last of those.
func (c *commits) recall(h *head, q *request) (last entry, known int, err error) {
	if h.id == 0 || len(q.events) == 0 {
		return entry{}, 0, nil
	}
	if q.expected == ExpectAny || q.expected == ExpectExists {
		return c.recallAny(h, q.events)
	}
	c.settle(h)
	it, err := c.db.streamIter(h.id)
	if err != nil {
		return entry{}, 0, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.SeekGE(appendStreamKey(c.scratch[:0], h.id, Revision(q.expected+1))); ok && known < len(q.events); ok = it.Next() {
		e, ok := decodeEntry(it.Key(), it.Value())
		if !ok {
			return last, known, corrupt(h.id, "an index entry is malformed")
		}
		if e.id != q.events[known].ID || int64(e.revision) != int64(q.expected)+1+int64(known) {
			break // another event, or what was there was scavenged
		}
		last = e
		known++
	}
	return last, known, readFault(it.Error())
}

func (c *commits) recallAny(h *head, events []Event) (last entry, known int, err error) {
	recent, ok := c.heads.recents.get(h.id)
	if !ok {
		c.settle(h)
		if recent, err = c.db.latest(h.id, recallWindow); err != nil {
			return entry{}, 0, err
		}
		c.heads.recents.put(h.id, recent)
	}
	for i := range events {
		at := len(recent) - 1 // a repeated append is a late one: search from the end
		for at >= 0 && recent[at].id != events[i].ID {
			at--
		}
		if at < 0 {
			break
		}
		last = recent[at]
		known++
	}
	return last, known, nil
}

// settle makes what the current batch holds of h readable to the leader.
func (c *commits) settle(h *head) {
	if h.round == c.round {
		c.flush(false)
	}
}

// streamID returns the id of a stream, 0 if it has no event.
func (db *DB) streamID(stream string) (Position, error) {
	if !db.known.may(stream) {
		return 0, nil
	}
	value, closer, err := db.pebble.Get(appendNameKey(make([]byte, 0, 64), stream))
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

func putPosition(b []byte, p Position) { binary.BigEndian.PutUint64(b, uint64(p)) }

// streamIter walks over a stream's index; the caller closes it.
func (db *DB) streamIter(id Position) (*pebble.Iterator, error) {
	it, err := db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: appendStreamKey(make([]byte, 0, streamKeyLen), id, 0),
		UpperBound: appendStreamKey(make([]byte, 0, streamKeyLen), id+1, 0),
	})
	return it, readFault(err)
}

// lastEntry returns the last index line of a stream at or below bound; its position is 0 if there is none.
func (db *DB) lastEntry(id, bound Position) (e entry, err error) {
	it, err := db.streamIter(id)
	if err != nil {
		return entry{}, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	return db.lastWithin(it, id, bound)
}

func (db *DB) lastWithin(it *pebble.Iterator, id, bound Position) (entry, error) {
	for ok := it.Last(); ok; ok = it.Prev() {
		e, ok := decodeEntry(it.Key(), it.Value())
		if !ok {
			return entry{}, corrupt(id, "an index entry is malformed")
		}
		if e.position <= bound {
			return e, nil
		}
	}
	if err := it.Error(); err != nil {
		return entry{}, readFault(err)
	}
	if id <= bound {
		if kept, err := db.keptFrom(id); err != nil {
			return entry{}, err
		} else if kept > 0 {
			return entry{}, errScavenged // what bound saw is gone: whoever asks must look again
		}
		return entry{}, corrupt(id, "the stream that begins here has no index")
	}
	return entry{}, nil
}

// latest returns the last n index lines of a stream, oldest first.
func (db *DB) latest(id Position, n int) (es []entry, err error) {
	it, err := db.streamIter(id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.Last(); ok && len(es) < n; ok = it.Prev() {
		e, ok := decodeEntry(it.Key(), it.Value())
		if !ok {
			return nil, corrupt(id, "an index entry is malformed")
		}
		es = append(es, e)
	}
	slices.Reverse(es)
	return es, readFault(it.Error())
}
