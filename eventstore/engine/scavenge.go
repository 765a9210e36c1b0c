package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/internal/fault"
)

// Scavenging removes from the disk what no reader of a stream can see any more: what "$maxCount", "$maxAge" and "$tb" hide, the events of
// softly deleted and of tombstoned streams, and superseded metadata. The numbers that were given stay given: a stream keeps its last
// event, and the log keeps a stub at every position, so that a hole is damage as ever. Reading a stream shows what it showed; the log
// shows what is left.
//
// It works while the store does: it walks over the streams by name, proposes what may go, in pieces, and the leader of the log takes
// what still may (sweep.go). What a proposal rests on is durable and visible to readers before it is made; so a reader who
// meets a stub has only to look again. Killed at any instant it leaves a sound store, and the next one goes on; then tables that hold what
// was replaced are written anew, which gives the space back.

// Limits of one proposal.
const (
	sweepEvents = 256
	sweepRate   = 20_000 // events a second
	compactSpan = 1 << 16
)

// ErrScavenging is the answer to a second scavenge of the same store.
var ErrScavenging = fault.New(fault.Conflict, "SCAVENGE_RUNNING", "a scavenge of this event store is in progress; wait for it, or end it first")

// ScavengeConfig says how to scavenge. The zero value removes all that may be removed.
type ScavengeConfig struct {
	Keep     func(stream string) bool // streams of which nothing may be removed, whatever their metadata says; default none
	Rate     int                      // events a second at most, so that appends find the disk free; default 20,000
	DryRun   bool                     // count only
	Progress func(Scavenged)          // called now and then
}

// Scavenged says what a scavenge did, or would do.
type Scavenged struct {
	Streams    uint64 `json:"streams"`     // looked at
	Swept      uint64 `json:"swept"`       // streams that lost events
	Kept       uint64 `json:"kept"`        // streams that Config.Keep protected although their metadata asks for removal
	Events     uint64 `json:"events"`      // removed
	Bytes      uint64 `json:"bytes"`       // of their records
	DiskBefore uint64 `json:"disk_before"` // bytes of the store's tables
	DiskAfter  uint64 `json:"disk_after"`  // of the same, after tables were written anew
}

// Scavenge removes what can't be read any more, and gives its space back. It can be run at any time, and again.
//
// Faults: ErrScavenging, ErrCorrupt, ErrClosed, ErrReadOnly, timeout if ctx ended (what was done stays done; run it again), and what the
// disk refuses.
func (db *DB) Scavenge(ctx context.Context, cfg ScavengeConfig) (Scavenged, error) {
	if db.cfg.readOnly && !cfg.DryRun {
		return Scavenged{}, ErrReadOnly
	}
	if !db.tidying.TryLock() {
		return Scavenged{}, ErrScavenging
	}
	defer db.tidying.Unlock()
	if cfg.Rate <= 0 {
		cfg.Rate = sweepRate
	}
	s := &scavenger{db: db, cfg: cfg}
	var err error
	if s.done.DiskBefore, err = db.tableBytes(ctx); err == nil {
		err = s.walk(ctx)
	}
	if err == nil && !cfg.DryRun {
		err = s.reclaim(ctx)
	}
	after, e := db.tableBytes(context.WithoutCancel(ctx))
	s.done.DiskAfter, err = after, errors.Join(err, e)
	return s.done, fault.Wrap(err, fault.Internal, "SCAVENGE", "the scavenge can't go on")
}

type scavenger struct {
	db   *DB
	cfg  ScavengeConfig
	done Scavenged
}

// walk visits every stream that there is, by name.
func (s *scavenger) walk(ctx context.Context) error {
	for after, more := "", true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := s.db.streamNames(after, 1000)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := s.stream(ctx, name); err != nil {
				return err
			}
			after = name
		}
		more = len(names) > 0
		s.report()
	}
	return nil
}

func (s *scavenger) report() {
	if s.cfg.Progress != nil {
		s.cfg.Progress(s.done)
	}
}

// stream removes what may go of one stream.
func (s *scavenger) stream(ctx context.Context, name string) error {
	s.done.Streams++
	before := s.done.Events
	for from := Revision(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		plan, kept, err := s.piece(ctx, name, from)
		if err != nil {
			return err
		}
		if kept {
			s.done.Kept++
			return nil
		}
		if len(plan.victims) == 0 {
			break
		}
		if !s.cfg.DryRun {
			if err := rest(ctx, time.Duration(plan.taken)*time.Second/time.Duration(s.cfg.Rate)); err != nil {
				return err
			}
		}
		if plan.taken < len(plan.victims) || len(plan.victims) < sweepEvents {
			break // the metadata has changed, or that was all
		}
		from = plan.victims[len(plan.victims)-1].revision + 1
	}
	if s.done.Events > before {
		s.done.Swept++
	}
	return nil
}

// piece proposes what may go of a stream next, and has it removed.
func (s *scavenger) piece(ctx context.Context, name string, from Revision) (plan *sweep, kept bool, err error) {
	s.db.sweeps.RLock()
	defer s.db.sweeps.RUnlock()
	plan, err = s.db.proposal(name, from)
	if err != nil || len(plan.victims) == 0 {
		return plan, false, err
	}
	if s.cfg.Keep != nil && s.cfg.Keep(name) {
		return plan, true, nil
	}
	return plan, false, s.sweep(ctx, name, plan)
}

func (s *scavenger) sweep(ctx context.Context, name string, plan *sweep) error {
	if s.cfg.DryRun {
		plan.taken = len(plan.victims)
		for _, v := range plan.victims {
			plan.bytes += uint64(v.size)
		}
	} else {
		if err := upgrade(s.db.cfg.FS, s.db.dir, formatScavenged); err != nil {
			return err
		}
		if _, err := s.db.commit(ctx, &request{kind: sweepStream, stream: name, sweep: plan}); err != nil {
			return err
		}
		s.db.metrics.scavenged.Add(float64(plan.taken))
	}
	s.done.Events += uint64(plan.taken)
	s.done.Bytes += plan.bytes
	s.report()
	return nil
}

// rest waits, at most until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// streamNames returns the next names of streams in the order of their bytes.
func (db *DB) streamNames(after string, n int) (names []string, err error) {
	if err := db.enter(); err != nil {
		return nil, err
	}
	defer db.leave()
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: append(appendNameKey(nil, after), 0), UpperBound: []byte{keyName + 1}})
	if err != nil {
		return nil, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.First(); ok && len(names) < n; ok = it.Next() {
		names = append(names, string(it.Key()[1:]))
	}
	return names, readFault(it.Error())
}

// proposal finds the first events of a stream, from a revision on, that no reader can see as of the visible position.
func (db *DB) proposal(name string, from Revision) (plan *sweep, err error) {
	if err := db.enter(); err != nil {
		return nil, err
	}
	defer db.leave()
	plan = &sweep{}
	bound := db.Last()
	if plan.id, err = db.streamID(name); err != nil || plan.id == 0 || plan.id > bound {
		return plan, err
	}
	f, err := db.fate(name, plan.id, bound)
	if err != nil || !f.open(from) {
		return plan, err
	}
	it, err := db.streamIter(plan.id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.SeekGE(appendStreamKey(nil, plan.id, from)); ok && len(plan.victims) < sweepEvents; ok = it.Next() {
		e, ok := decodeEntry(it.Key(), it.Value())
		if !ok {
			return nil, corrupt(plan.id, "an index entry is malformed")
		}
		if !f.open(e.revision) || e.position > bound {
			break
		}
		v, err := db.victim(e, name)
		if err != nil {
			return nil, err
		}
		if !f.takes(e.revision, v.created) {
			break
		}
		plan.victims = append(plan.victims, v)
	}
	return plan, readFault(it.Error())
}

// fate judges a stream as its readers see it.
func (db *DB) fate(name string, id, bound Position) (f fate, err error) {
	var l Limits
	parent, metadata := strings.CutPrefix(name, MetadataPrefix)
	ended := false
	if metadata {
		ended, err = db.tombstoned(parent, bound)
	} else {
		l, err = db.limitsOf(name, bound)
	}
	if err != nil {
		return fate{}, err
	}
	last, err := db.lastEntry(id, bound)
	if err != nil {
		return fate{}, err
	}
	return db.fateOf(l, last.revision, metadata, ended), nil
}

// victim reads the record that an index entry leads to. What is damaged is told, not removed.
func (db *DB) victim(e entry, name string) (victim, error) {
	value, closer, err := db.pebble.Get(appendEventKey(nil, e.position))
	if errors.Is(err, pebble.ErrNotFound) {
		return victim{}, corrupt(e.position, "the record is missing")
	}
	if err != nil {
		return victim{}, readFault(err)
	}
	defer closer.Close()
	r, err := decodeRecord(e.position, value)
	if err != nil {
		return victim{}, corrupt(e.position, "%v", err)
	}
	if r.Stream != name || r.Revision != e.revision || r.ID != e.id {
		return victim{}, corrupt(e.position, "the index and the record disagree")
	}
	return victim{e.revision, e.position, r.Created, encodeStub(&r, originalSum(value)), len(value)}, nil
}

// reclaim writes anew the tables that hold what was replaced, piece by piece. What an earlier scavenge did not get to is among them.
func (s *scavenger) reclaim(ctx context.Context) error {
	pending, err := s.db.pendingSwept()
	if err != nil || pending.lo == 0 {
		return err
	}
	for lo := pending.lo; lo <= pending.hi; lo += compactSpan {
		if err := s.db.compact(ctx, appendEventKey(nil, lo), appendEventKey(nil, lo+compactSpan)); err != nil {
			return err
		}
		s.report()
	}
	for _, kind := range []byte{keyStream, keyName} {
		if err := s.db.compact(ctx, []byte{kind}, []byte{kind + 1}); err != nil {
			return err
		}
	}
	_, err = s.db.commit(ctx, &request{kind: sweptAll})
	return err
}

func (db *DB) pendingSwept() (swept, error) {
	if err := db.enter(); err != nil {
		return swept{}, err
	}
	defer db.leave()
	return loadSwept(db.pebble)
}

func (db *DB) compact(ctx context.Context, lo, hi []byte) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	return db.pebble.Compact(ctx, lo, hi, false)
}

// tableBytes is what the store's tables need on the disk, with what was only in the write-ahead log moved into them; files that wait for
// their removal are not counted.
func (db *DB) tableBytes(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, flushPatience)
	defer cancel()
	if err := db.enter(); err != nil {
		return 0, err
	}
	defer db.leave()
	if !db.cfg.readOnly {
		if err := db.flush(ctx); err != nil {
			return 0, err
		}
	}
	m := db.pebble.Metrics()
	return m.Table.Local.LiveSize + m.BlobFiles.Local.LiveSize, nil
}
