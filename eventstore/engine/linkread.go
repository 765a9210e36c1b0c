package engine

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// linkCursor finds the positions that a link stream leads to. It is cheap to move to a neighbour.
type linkCursor struct {
	stream    string
	it        *pebble.Iterator
	first     Revision   // of the block the iterator stands on
	positions []Position // of that block; empty: it stands nowhere
	key       []byte
}

func (db *DB) linkCursor(stream string) (*linkCursor, error) {
	c := &linkCursor{stream: stream}
	lower := appendLinkPrefix(make([]byte, 0, len(stream)+11), stream)
	n := len(lower)
	c.key = append(make([]byte, 0, n+8), lower...)
	upper := binary.BigEndian.AppendUint64(append([]byte(nil), lower...), uint64(LastRevision))
	var err error
	c.it, err = db.pebble.NewIter(&pebble.IterOptions{LowerBound: lower[:n:n], UpperBound: upper})
	return c, readFault(err)
}

func (c *linkCursor) close() error { return readFault(c.it.Close()) }

// next returns the revision behind the last one, 0 if the stream has none.
func (c *linkCursor) next() (Revision, error) {
	if !c.it.Last() {
		return 0, readFault(c.it.Error())
	}
	if err := c.load(); err != nil {
		return 0, err
	}
	return c.first + Revision(len(c.positions)), nil
}

// at returns the position that revision r leads to.
func (c *linkCursor) at(r Revision) (Position, error) {
	if r >= c.first && r-c.first < Revision(len(c.positions)) {
		return c.positions[r-c.first], nil
	}
	if err := c.move(r); err != nil {
		return 0, err
	}
	if r < c.first || r-c.first >= Revision(len(c.positions)) {
		return 0, c.damaged("it lacks revision %d", r)
	}
	return c.positions[r-c.first], nil
}

// move goes to the block that should hold r, and makes sure that neighbours' positions rise.
func (c *linkCursor) move(r Revision) error {
	var ok bool
	above, below := Position(0), End
	switch n := len(c.positions); {
	case n > 0 && r == c.first+Revision(n):
		above = c.positions[n-1]
		ok = c.it.Next()
	case n > 0 && r+1 == c.first:
		below = c.positions[0]
		ok = c.it.Prev()
	default:
		ok = c.it.SeekLT(binary.BigEndian.AppendUint64(c.key[:len(c.stream)+3], uint64(r+1)))
	}
	if !ok {
		if err := c.it.Error(); err != nil {
			return readFault(err)
		}
		return c.damaged("it lacks revision %d", r)
	}
	if err := c.load(); err != nil {
		return err
	}
	if c.positions[0] <= above || c.positions[len(c.positions)-1] >= below {
		return c.damaged("its positions don't rise at revision %d", r)
	}
	return nil
}

func (c *linkCursor) load() (err error) {
	key := c.it.Key()
	if len(key) != len(c.stream)+11 {
		return c.damaged("a key is malformed")
	}
	c.first = linkRevision(key)
	if c.positions, err = decodeLinkBlock(c.positions[:0], key, c.it.Value()); err != nil {
		return c.damaged("%v at revision %d", err, c.first)
	}
	return nil
}

func (c *linkCursor) damaged(format string, args ...any) error {
	c.positions = nil
	return damagedLinks(c.stream, format, args...)
}

// readLinks is ReadStream for a link stream, whose limits are those of its own metadata.
func (db *DB) readLinks(stream string, from Revision, dir Direction, maxEvents int) (page StreamPage, err error) {
	broken := db.links.failed.Load() // before looking: what is there now was there before it broke
	limits, err := db.limitsOf(stream, db.Last())
	if err != nil {
		return StreamPage{}, err
	}
	c, err := db.linkCursor(stream)
	if err != nil {
		return StreamPage{}, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	next, err := c.next()
	switch {
	case err != nil:
		return StreamPage{}, err
	case next == 0 && broken != nil:
		return StreamPage{}, *broken
	case next == 0, limits.SoftDeleted():
		return StreamPage{}, ErrStreamMissing
	}
	log, err := db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyEvent},
		UpperBound: appendEventKey(make([]byte, 0, eventKeyLen), db.Last()+1),
	})
	if err != nil {
		return StreamPage{}, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(log.Close())) }()
	r := linkReader{stream: stream, cursor: c, log: log, oldest: db.oldest(limits)}
	r.page = StreamPage{Records: room(next-1, maxEvents), Last: next - 1, First: limits.firstReadable(next - 1)}
	if dir == Backwards {
		err = r.backwards(min(from, r.page.Last), maxEvents)
		return r.page, err
	}
	err = r.forwards(max(from, r.page.First), maxEvents)
	if err == nil && r.page.End && broken != nil {
		return StreamPage{}, *broken
	}
	return r.page, err
}

// linkReader fills a page from the index of links and the log.
type linkReader struct {
	stream string
	cursor *linkCursor
	log    *pebble.Iterator // its upper bound is the visible position
	oldest Ticks            // events created before are hidden
	page   StreamPage
	size   int
	key    [eventKeyLen]byte
}

func (l *linkReader) full(n, maxEvents int) bool {
	return n >= min(maxEvents, pageEvents) || l.size >= pageBytes
}

func (l *linkReader) forwards(from Revision, maxEvents int) error {
	l.page.Next = from
	for n := 0; l.page.Next <= l.page.Last; n++ {
		if l.full(n, maxEvents) {
			return nil
		}
		if err := l.take(l.page.Next); err != nil {
			return err
		}
		l.page.Next++
	}
	l.page.End = true
	return nil
}

func (l *linkReader) backwards(from Revision, maxEvents int) error {
	l.page.Next = from
	for n := 0; from >= l.page.First; n++ {
		if l.full(n, maxEvents) {
			return nil
		}
		if err := l.take(l.page.Next); err != nil {
			return err
		}
		if l.page.Next == l.page.First {
			break
		}
		l.page.Next--
	}
	l.page.End = true
	return nil
}

// take puts the link at revision r into the page, if it is young enough. What it points to must belong to the stream.
func (l *linkReader) take(r Revision) error {
	p, err := l.cursor.at(r)
	if err != nil {
		return err
	}
	if !l.log.SeekGE(appendEventKey(l.key[:0], p)) {
		if err := l.log.Error(); err != nil {
			return readFault(err)
		}
		return corrupt(p, "the record is missing")
	}
	target, err := decodeAt(p, l.log)
	if err != nil && !errors.Is(err, errScavenged) {
		return err
	}
	if !belongs(&target, l.stream) {
		return damagedLinks(l.stream, "revision %d leads to position %d, which is not of this stream", r, p)
	}
	l.size += len(l.log.Value())
	if target.Created >= l.oldest {
		l.page.Records = append(l.page.Records, link(l.stream, r, &target))
	}
	return nil
}
