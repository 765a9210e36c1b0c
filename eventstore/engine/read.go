package engine

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Limits of one page; a page holds at least one record, unless it went over so many scavenged positions.
const (
	pageEvents = 512
	pageBytes  = 256 << 10 // what a reader that has stopped holds, save that one more event may begin below it
	pageSkips  = 1 << 14
)

// Page is a piece of the log. Its records are the caller's.
type Page struct {
	Records []Record
	Next    Position // where the next page begins, in the same direction
	End     bool     // there was nothing more when the page was read
}

// StreamPage is a piece of a stream.
type StreamPage struct {
	Records []Record
	Next    Revision // where the next page begins, in the same direction
	End     bool     // there was nothing more when the page was read
	Last    Revision // the stream's last revision
	First   Revision // the first revision that is there and that the stream's metadata lets through, its age aside
}

// ReadAll reads the log: forwards from a position inclusive, backwards from a position exclusive. At most max records, or
// fewer, and none at all where much was scavenged: ask Page.End. Faults: ErrCorrupt, ErrClosed.
func (db *DB) ReadAll(from Position, dir Direction, maxEvents int) (page Page, err error) {
	if err := db.enter(); err != nil {
		return Page{}, err
	}
	defer db.leave()
	bound := db.Last()
	lower, upper := max(from, 1), bound+1
	if dir == Backwards {
		lower, upper = 1, min(from, bound+1)
	}
	if lower >= upper {
		return Page{Next: from, End: true}, nil
	}
	it, err := db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(make([]byte, 0, eventKeyLen), lower),
		UpperBound: appendEventKey(make([]byte, 0, eventKeyLen), upper),
	})
	if err != nil {
		return Page{}, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	return allPage(it, lower, upper, dir, maxEvents)
}

func allPage(it *pebble.Iterator, lower, upper Position, dir Direction, maxEvents int) (Page, error) {
	maxEvents = min(maxEvents, pageEvents)
	page := Page{Records: make([]Record, 0, min(uint64(maxEvents), uint64(upper-lower)))}
	first, step, expect := it.First, it.Next, lower
	if dir == Backwards {
		first, step, expect = it.Last, it.Prev, upper-1
	}
	size, skips := 0, 0
	for ok := first(); ok && len(page.Records) < maxEvents && size < pageBytes && skips < pageSkips; ok = step() {
		r, err := decodeAt(expect, it)
		switch {
		case err == nil:
			size += len(it.Value())
			page.Records = append(page.Records, r)
		case errors.Is(err, errScavenged):
			skips++
		default:
			return Page{}, err
		}
		if dir == Backwards {
			page.Next = expect
			expect--
		} else {
			expect++
			page.Next = expect
		}
	}
	if err := it.Error(); err != nil {
		return Page{}, readFault(err)
	}
	page.End = expect < lower || expect >= upper
	if !page.End && len(page.Records) < maxEvents && size < pageBytes && skips < pageSkips {
		return Page{}, corrupt(expect, "the record is missing")
	}
	return page, nil
}

// decodeAt decodes the record the iterator stands on, which must be the one at want: the log has no holes. Of a stub it returns what
// is left, with errScavenged.
func decodeAt(want Position, it *pebble.Iterator) (Record, error) {
	return decodeValue(want, it, append([]byte(nil), it.Value()...))
}

// peekAt is decodeAt for a record that is forgotten before the iterator moves on.
func peekAt(want Position, it *pebble.Iterator) (Record, error) {
	return decodeValue(want, it, it.Value())
}

func decodeValue(want Position, it *pebble.Iterator, value []byte) (Record, error) {
	p, ok := decodeEventKey(it.Key())
	if !ok || p != want {
		return Record{}, corrupt(want, "the record is missing")
	}
	r, err := decodeRecord(p, value)
	return r, recordFault(p, err)
}

// recordFault says where a record can't be trusted. That it was scavenged is the reader's matter: errScavenged stays itself.
func recordFault(p Position, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errScavenged):
		return err
	}
	return corrupt(p, "%v", err)
}

// record reads one event; errScavenged if it is no longer there.
func (db *DB) record(p Position) (Record, error) {
	value, closer, err := db.pebble.Get(appendEventKey(make([]byte, 0, eventKeyLen), p))
	if errors.Is(err, pebble.ErrNotFound) {
		return Record{}, corrupt(p, "the record is missing")
	}
	if err != nil {
		return Record{}, readFault(err)
	}
	defer closer.Close()
	r, err := decodeRecord(p, append([]byte(nil), value...))
	return r, recordFault(p, err)
}

// ReadStream reads a stream within the limits of its metadata: forwards or backwards from a revision, inclusive. At most max
// records, or fewer: ask StreamPage.End. Faults: ErrStreamMissing (never written, or deleted softly), ErrStreamDeleted
// (tombstoned), ErrInvalidAppend for what is no stream's name, ErrCorrupt, ErrClosed.
func (db *DB) ReadStream(stream string, from Revision, dir Direction, maxEvents int) (page StreamPage, err error) {
	if err := CheckStream(stream); err != nil {
		return StreamPage{}, err
	}
	if err := db.enter(); err != nil {
		return StreamPage{}, err
	}
	defer db.leave()
	if LinkStream(stream) {
		return db.readLinks(stream, from, dir, maxEvents)
	}
	for range scavengedUnderfoot {
		page, err = db.readStream(stream, from, dir, maxEvents)
		if !errors.Is(err, errScavenged) {
			return page, err
		}
	}
	return StreamPage{}, ErrCorrupt.Because("the event store is damaged: the index of the stream %q leads to an event that was scavenged", stream)
}

// scavengedUnderfoot is how often a read begins again because what it was about to read was scavenged meanwhile. Each time the visible
// position has grown (scavenge.go), so a few times are enough.
const scavengedUnderfoot = 10

func (db *DB) readStream(stream string, from Revision, dir Direction, maxEvents int) (page StreamPage, err error) {
	bound := db.Last()
	id, limits, err := db.readable(stream, bound)
	if err != nil {
		return StreamPage{}, err
	}
	it, err := db.streamIter(id)
	if err != nil {
		return StreamPage{}, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	last, err := db.lastWithin(it, id, bound)
	if err != nil {
		return StreamPage{}, err
	}
	if last.revision == Tombstone {
		return StreamPage{}, ErrStreamDeleted
	}
	kept, err := db.keptFrom(id) // after the index was opened: then the index has all from there on
	if err != nil {
		return StreamPage{}, err
	}
	log, err := it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{ // sees what the index sees
		LowerBound: appendEventKey(make([]byte, 0, eventKeyLen), id),
		UpperBound: appendEventKey(make([]byte, 0, eventKeyLen), bound+1),
	}})
	if err != nil {
		return StreamPage{}, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(log.Close())) }()
	r := streamReader{db: db, stream: stream, id: id, index: it, log: log, oldest: db.oldest(limits)}
	r.page = StreamPage{Records: room(last.revision, maxEvents), Last: last.revision, First: max(limits.firstReadable(last.revision), kept)}
	if dir == Backwards {
		err = r.backwards(min(from, last.revision), maxEvents)
		return r.page, err
	}
	err = r.forwards(max(from, min(r.page.First, last.revision+1)), maxEvents) // $tb may lie beyond the end: what comes is not passed over
	return r.page, err
}

// room is for the records of a page of a stream.
func room(last Revision, maxEvents int) []Record {
	return make([]Record, 0, min(uint64(last)+1, uint64(min(maxEvents, pageEvents))))
}

// readable finds a stream and its limits as of the visible position.
func (db *DB) readable(stream string, bound Position) (id Position, l Limits, err error) {
	if id, err = db.streamID(stream); err != nil {
		return 0, Limits{}, err
	}
	if id == 0 || id > bound {
		id = 0
	}
	if parent, ok := strings.CutPrefix(stream, MetadataPrefix); ok {
		ended, err := db.tombstoned(parent, bound)
		if err != nil {
			return 0, Limits{}, err
		}
		if ended {
			return 0, Limits{}, ErrStreamDeleted
		}
		l.MaxCount = 1
	} else if l, err = db.limitsOf(stream, bound); err != nil {
		return 0, Limits{}, err
	}
	if id == 0 {
		return 0, Limits{}, ErrStreamMissing
	}
	if l.SoftDeleted() {
		ended, err := db.tombstoned(stream, bound)
		if err != nil {
			return 0, Limits{}, err
		}
		if ended {
			return 0, Limits{}, ErrStreamDeleted
		}
		return 0, Limits{}, ErrStreamMissing
	}
	return id, l, nil
}

// limitsOf reads a stream's metadata as of bound.
func (db *DB) limitsOf(stream string, bound Position) (Limits, error) {
	if !db.described.may(stream) {
		return Limits{}, nil
	}
	id, err := db.streamID(MetadataPrefix + stream)
	if err != nil || id == 0 || id > bound {
		return Limits{}, err
	}
	e, err := db.lastEntry(id, bound)
	if err != nil || e.position == 0 {
		return Limits{}, err
	}
	return db.limitsAt(e.position)
}

func (db *DB) tombstoned(stream string, bound Position) (bool, error) {
	id, err := db.streamID(stream)
	if err != nil || id == 0 || id > bound {
		return false, err
	}
	e, err := db.lastEntry(id, bound)
	return e.revision == Tombstone && e.position != 0, err
}

// oldest returns the creation time below which events are hidden.
func (db *DB) oldest(l Limits) Ticks {
	if l.MaxAge == 0 {
		return 0
	}
	return TicksOf(db.cfg.Now().Add(-l.MaxAge))
}

// lastPosition finds the end of the log.
func lastPosition(from pebble.Reader) (p Position, err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: []byte{keyEvent}, UpperBound: []byte{keyEvent + 1}})
	if err != nil {
		return 0, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	if !it.Last() {
		return 0, readFault(it.Error())
	}
	if key := it.Key(); len(key) == eventKeyLen {
		return Position(binary.BigEndian.Uint64(key[1:])), nil
	}
	return 0, ErrCorrupt.Because("the event store is damaged: its last key is malformed")
}
