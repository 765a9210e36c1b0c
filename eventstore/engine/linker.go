package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/internal/fault"
)

// Bounds of one look at the log.
const (
	linkEvents     = 1024
	linkNameBytes  = 1 << 20 // of the link streams that got something
	cachedLinks    = 4096
	cachedLinkName = 256 // bytes; longer names are looked up each time, so that the cache's memory has a bound

	// Looks are at least so far apart, so that under load one covers many appends: a look costs about as much as thirty links. What is
	// appended to a quiet store is looked at immediately.
	linkPace = 10 * time.Millisecond
)

// linker builds the index behind the link streams: one goroutine, begun by Open and ended by Close, that follows the log. It looks at
// what has become readable, and writes the links and how far it came in one batch, without waiting for an fsync: the log's batch went
// into the same write-ahead log before, so a crash can take links away, and the mark with them, but never leave one that points to
// nothing. What was taken is found again.
//
// Appends neither wait for it nor fail with it. When it can't go on, because the log or its own index is damaged, it keeps the
// reason, and whoever reaches the end of a link stream is told.
type linker struct {
	db      *DB
	heads   generations[string, Revision] // next revision of a link stream; the goroutine's
	found   map[string][]Position         // the goroutine's
	size    int                           // bytes of the names in found
	name    []byte                        // scratch
	at      atomic.Uint64                 // the links of everything up to this position are readable
	failed  atomic.Pointer[error]         // why it can't go on
	moved   signal                        // at or failed changed
	rebuild chan chan struct{}            // drop everything and begin again; the channel sent is closed when it is dropped
	ready   chan struct{}                 // closed from the start
	done    chan struct{}                 // closed when the goroutine has ended
}

func newLinker(db *DB) *linker {
	l := &linker{
		db: db, found: map[string][]Position{}, heads: newGenerations[string, Revision](cachedLinks),
		rebuild: make(chan chan struct{}), ready: make(chan struct{}), done: make(chan struct{}),
	}
	close(l.ready)
	return l
}

// open finds out where to go on. An index that can't be trusted, or is of another version, is dropped.
func (l *linker) open() error {
	value, closer, err := l.db.pebble.Get([]byte{keyLink})
	if errors.Is(err, pebble.ErrNotFound) {
		return l.restart()
	}
	if err != nil {
		return readFault(err)
	}
	at, ok := decodeLinkMark(value)
	if err := closer.Close(); err != nil {
		return readFault(err)
	}
	if !ok || at > l.db.Last() {
		l.db.cfg.Logger.Warn("event store: the index of links is damaged or of another version; building it anew")
		return l.restart()
	}
	l.at.Store(uint64(at))
	if l.db.cfg.readOnly && at < l.db.Last() {
		l.unbuilt()
	}
	return nil
}

// unbuilt says that the index ends early and can't be continued.
func (l *linker) unbuilt() {
	err := error(ErrReadOnly.Because("the event store was opened for reading only, and its link streams are not complete: open it for writing once"))
	l.failed.Store(&err)
}

// restart begins with an empty index. In a store that is open for reading only there are no links then.
func (l *linker) restart() error {
	if !l.db.cfg.readOnly {
		return l.drop()
	}
	l.unbuilt()
	return nil
}

// drop deletes the index.
func (l *linker) drop() error {
	l.heads = newGenerations[string, Revision](cachedLinks)
	b := l.db.pebble.NewBatch()
	err := errors.Join(b.DeleteRange([]byte{keyLink}, []byte{keyLink + 1}, nil), b.Set([]byte{keyLink}, appendLinkMark(nil, 0), nil))
	if err := errors.Join(err, b.Commit(pebble.NoSync), b.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store can't write its index of links")
	}
	l.at.Store(0)
	return nil
}

// run follows the log until the store closes.
func (l *linker) run() {
	defer close(l.done)
	if l.db.cfg.noLinks || l.db.cfg.readOnly {
		return
	}
	for {
		changed := l.db.WatchAll()
		more, err := l.step()
		if err != nil {
			l.fail(err)
			changed = nil // nothing but a rebuild helps
		}
		if !l.wait(changed, more) {
			return
		}
	}
}

// wait blocks until there is something to look at, and the last look is long enough ago; false means that the store closes.
func (l *linker) wait(changed <-chan struct{}, more bool) bool {
	pace := time.NewTimer(linkPace)
	defer pace.Stop()
	if more {
		changed = l.ready
	}
	select {
	case <-l.db.closing:
		return false
	case dropped := <-l.rebuild:
		if err := l.drop(); err != nil {
			l.db.crash(err)
		}
		l.failed.Store(nil)
		close(dropped)
		return true
	case <-changed:
	}
	if more {
		return true
	}
	select {
	case <-l.db.closing:
		return false
	case <-pace.C:
		return true
	}
}

func (l *linker) fail(err error) {
	l.db.cfg.Logger.Error("event store: the index of links can't be continued", "position", l.at.Load()+1, "error", err)
	l.failed.Store(&err)
	l.moved.notify()
	for i := range l.db.signals.stream {
		l.db.signals.stream[i].notify()
	}
}

// step indexes the next piece of the log and reports whether there is more.
func (l *linker) step() (more bool, err error) {
	from, bound := Position(l.at.Load()), l.db.Last()
	if from >= bound {
		return false, nil
	}
	clear(l.found)
	l.size = 0
	last, err := l.look(from+1, bound)
	if err != nil {
		return false, err
	}
	touched, err := l.write(last)
	if err != nil {
		return false, err
	}
	l.at.Store(uint64(last))
	l.moved.notify()
	for _, name := range touched {
		l.db.signals.of(name).notify()
	}
	return last < bound, nil
}

// look collects the links of the log from a position on. It ends before a record that can't be trusted, and fails if that is the first.
func (l *linker) look(from, bound Position) (last Position, err error) {
	it, err := l.db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(make([]byte, 0, eventKeyLen), from),
		UpperBound: appendEventKey(make([]byte, 0, eventKeyLen), bound+1),
	})
	if err != nil {
		return 0, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	want := from
	for ok := it.First(); ok && want-from < linkEvents && l.size < linkNameBytes; ok = it.Next() {
		r, err := peekAt(want, it)
		if errors.Is(err, errScavenged) {
			err = nil // a link to it stays, and leads to nothing
		}
		if err != nil && want > from {
			return want - 1, nil
		}
		if err != nil {
			return 0, err
		}
		eachLink(&r, func(prefix, rest string) { l.add(r.Position, prefix, rest) })
		want++
	}
	if err := it.Error(); err != nil {
		return 0, readFault(err)
	}
	if want == from {
		return 0, corrupt(want, "the record is missing")
	}
	return want - 1, nil
}

func (l *linker) add(p Position, prefix, rest string) {
	if !linkable(prefix, rest) {
		return
	}
	l.name = append(append(l.name[:0], prefix...), rest...)
	found, ok := l.found[string(l.name)]
	if !ok {
		l.size += len(l.name)
	}
	l.found[string(l.name)] = append(found, p)
}

// write stores what was found, together with how far the log has been looked at.
func (l *linker) write(last Position) (touched []string, err error) {
	b := l.db.pebble.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	var key, value []byte
	for name, positions := range l.found {
		next, err := l.next(name)
		if err != nil {
			return nil, err
		}
		key = binary.BigEndian.AppendUint64(appendLinkPrefix(key[:0], name), uint64(next))
		value = appendLinkBlock(value[:0], key, positions)
		if err := b.Set(key, value, nil); err != nil {
			return nil, err
		}
		if len(name) <= cachedLinkName {
			l.heads.put(name, next+Revision(len(positions)))
		}
		touched = append(touched, name)
	}
	if err := b.Set([]byte{keyLink}, appendLinkMark(nil, last), nil); err != nil {
		return nil, err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		l.db.crash(err) // the write-ahead log is the log's own
	}
	return touched, nil
}

// next returns the revision of a link stream's next link.
func (l *linker) next(stream string) (r Revision, err error) {
	if r, ok := l.heads.get(stream); ok {
		return r, nil
	}
	c, err := l.db.linkCursor(stream)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.next()
}

// Linked returns the position up to which link streams are complete.
func (db *DB) Linked() Position { return Position(db.links.at.Load()) }

// WaitLinked waits until the link streams hold everything up to p, or ctx ends. Faults: ErrCorrupt if the index can't be continued,
// ErrClosed, and a timeout.
func (db *DB) WaitLinked(ctx context.Context, p Position) error {
	for {
		moved := db.links.moved.watch()
		if db.Linked() >= p {
			return nil
		}
		if err := db.links.failed.Load(); err != nil {
			return *err
		}
		select {
		case <-moved:
		case <-db.closing:
			return ErrClosed
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Timeout, "LINKS_BEHIND", "the link streams are still being built; ask again later")
		}
	}
}

// RebuildLinks drops the index of links, and lets it be built again from the log, in the background: the cure for a damaged index. Until
// that is done, link streams end early; a subscription that was ahead waits. Fault: ErrClosed.
func (db *DB) RebuildLinks() error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	dropped := make(chan struct{})
	select {
	case db.links.rebuild <- dropped:
		<-dropped
		return nil
	case <-db.links.done:
		return ErrClosed
	}
}
