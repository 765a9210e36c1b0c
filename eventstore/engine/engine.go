// Package engine is the embedded event store's log: an append-only sequence of events in streams, on Pebble.
//
// It keeps these promises (numbers of docs/invariants.md in brackets):
//
//   - An append is answered only after its fsync, and becomes visible to readers only then (1).
//   - The events of one append are stored, and seen, all or not at all (2).
//   - Revisions of a stream are 0,1,2... and positions of the log are 1,2,3..., given once and never changed: the
//     order of positions is the order of commits is the order in which readers see them (3).
//   - Comparing the expected revision and appending are one step (4, 5).
//   - What is read back is checksummed, and an index entry must agree with the record it names; a difference is
//     ErrCorrupt with the record's position, never wrong data and never silence (7).
//
// How an append travels: callers queue their requests, and whoever finds nobody leading takes the queue, decides every
// request against the streams' heads, writes one Pebble batch without waiting for its fsync, hands the lead on, and only
// then waits. So one goroutine at a time decides, while fsyncs overlap with the next decisions, and no goroutine of ours
// outlives a call, save those that Close ends (linker, floor, filter):
//
//	Append --> queue --> leader: decide, batch, WAL --+--> next leader
//	                                                  +--> fsync --> visible --> wake readers --> answer
//
// Pebble shows a batch before it is synced; therefore every read is bounded by the visible position. Readers take pages: an
// iterator lives for one page, so a slow client holds no lock and no snapshot. A subscription is a cursor (the next
// position) and Watch, a channel closed at the next change; it has no queue and can't miss or repeat an event.
//
// Memory doesn't grow with the number of streams: heads of recently written streams are in caches of fixed size.
//
// The engine is crash-only: if the log can't be written, the process ends (Config.Fatal), since after a failed fsync nobody
// knows what is on the disk; the next Open finds out. Callers: eventstore/server and the operator's tool. The
// format on disk is described in docs/eventstore-format.md.
package engine

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
)

// Config tunes a DB. The zero value is right for a small shop.
type Config struct {
	CacheBytes     int64            // block cache; default 16 MiB
	MemTableBytes  uint64           // one memtable, up to four exist; default 16 MiB
	MaxAppendBytes int              // payload of one append; default 16 MiB
	FloorEvery     time.Duration    // longest time that the log grows without its floor (file FLOOR) being raised; default 1 s
	MustExist      bool             // don't make a store where there is none
	ReserveBytes   int64            // appends are refused while fewer bytes are free on the disk; default 256 MiB; -1: never refused
	Logger         *slog.Logger     // default: discard what is not an error
	FS             vfs.FS           // default: the operating system's
	Now            func() time.Time // stamps events; default time.Now

	Registerer prometheus.Registerer // nil: no metrics

	// Fatal is called when the log can't be written. It must not return. Default: print and exit with status 1.
	Fatal func(error)

	readOnly bool // OpenReadOnly
	noLinks  bool // link streams stay empty: the other side of a comparison
	names    int  // that the filters read when the log is opened; 0: their limits
}

func (c Config) withDefaults() Config {
	if c.CacheBytes <= 0 {
		c.CacheBytes = 16 << 20
	}
	if c.MemTableBytes == 0 {
		c.MemTableBytes = 16 << 20
	}
	if c.MaxAppendBytes <= 0 {
		c.MaxAppendBytes = 16 << 20
	}
	if c.FloorEvery <= 0 {
		c.FloorEvery = time.Second
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = defaultReserve
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) {
			fmt.Fprintln(os.Stderr, "event store: the log can't be written, stopping:", err)
			os.Exit(1)
		}
	}
	return c
}

// DB is an open event log. All methods may be called from any goroutine.
type DB struct {
	cfg     Config
	dir     string
	pebble  *pebble.DB
	commits commits
	signals signals
	metrics *metrics
	links   *linker
	visible atomic.Uint64 // last position that is durable, hence readable
	floor   floorKeeper
	gaps    atomic.Bool // something was scavenged, now or in an earlier life
	tidying sync.Mutex  // held by the one Scavenge in progress
	saving  sync.Mutex  // held by the one Backup or ArchiveTail in progress

	described *filter        // names of streams that may have metadata
	known     *filter        // names of streams that may be there
	loading   sync.WaitGroup // of known

	sweeps sync.RWMutex // for reading: one piece of a scavenge; for writing: what a backup reads of the log, which so ends behind what a scavenge left

	mu      sync.RWMutex // held for reading by every call in progress, for writing by Close
	closed  bool
	closing chan struct{}
}

// Open opens the log in dir and creates it if dir is empty or missing (unless Config.MustExist: STORE_MISSING). It returns ErrForeignDirectory if dir holds
// something else, ErrNewerFormat if a newer program wrote it, ErrLocked if another process has it open, ErrCorrupt
// if it is damaged, ErrDiskFull if the disk has no room, and unavailable faults for what the file system refuses.
func Open(dir string, cfg Config) (*DB, error) {
	return open(dir, cfg.withDefaults())
}

// OpenReadOnly opens a log that is there and changes nothing in dir, for those who look at a stopped store or at a backup: what would write
// gets ErrReadOnly. Faults: as Open, and STORE_MISSING.
func OpenReadOnly(dir string, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	cfg.readOnly = true
	return open(dir, cfg)
}

func open(dir string, cfg Config) (*DB, error) {
	store, err := claim(cfg.FS, dir, !cfg.readOnly && !cfg.MustExist)
	if err != nil {
		return nil, err
	}
	if !cfg.readOnly {
		if err := checkRoom(cfg.FS, store); err != nil {
			return nil, err
		}
	}
	p, err := pebble.Open(store, pebbleOptions(cfg))
	if err != nil {
		return nil, openFault(err)
	}
	db := &DB{cfg: cfg, dir: dir, pebble: p, metrics: newMetrics(), closing: make(chan struct{})}
	if err := db.begin(); err != nil {
		return nil, joinClose(err, p)
	}
	go db.links.run()
	if !cfg.readOnly {
		db.loading.Go(db.learn)
	}
	return db, nil
}

// begin finds out where the log stands.
func (db *DB) begin() error {
	db.signals.seed = maphash.MakeSeed()
	last, err := lastPosition(db.pebble)
	if err != nil {
		return err
	}
	if err := checkFloor(db.cfg.FS, db.dir, last); err != nil {
		return err
	}
	db.described, db.known = db.cfg.filters()
	if err := db.described.load(db.pebble, nil); err != nil {
		return err
	}
	swept, err := loadSwept(db.pebble)
	if err != nil {
		return err
	}
	db.visible.Store(uint64(last))
	db.gaps.Store(swept.events > 0)
	db.commits.init(db, last)
	db.commits.swept = swept
	db.commits.space = space{fs: db.cfg.FS, dir: db.dir, reserve: db.cfg.reserve()}
	db.links = newLinker(db)
	if err := db.links.open(); err != nil {
		return err
	}
	return db.register(db.cfg.Registerer)
}

// learn fills the filter of names, which takes longer than Open may.
func (db *DB) learn() {
	if err := db.known.load(db.pebble, db.closing); err != nil {
		db.cfg.Logger.Warn("event store: the names of the streams can't be read; each is looked up on the disk", "error", err)
	}
}

// Close waits for the calls in progress, lets later ones fail with ErrClosed, moves what is only in the write-ahead log into tables,
// and closes the files. Watchers are woken by Done.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	close(db.closing)
	db.floor.stop()
	<-db.links.done
	db.loading.Wait()
	if db.cfg.readOnly {
		return fault.Wrap(db.pebble.Close(), fault.Internal, "STORE_CLOSE", "the event store's files did not close cleanly")
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	if err := db.flush(ctx); err != nil { // a full disk, say; the write-ahead log has it all
		db.cfg.Logger.Warn("event store: closing without moving the write-ahead log into tables", "error", err)
	}
	err := db.pebble.Close()
	if err != nil {
		return fault.Wrap(err, fault.Internal, "STORE_CLOSE", "the event store's files did not close cleanly")
	}
	return writeFloor(db.cfg.FS, db.dir, db.Last())
}

// flushPatience bounds what Close waits for the disk: Pebble tries again for ever while it is full.
const flushPatience = 10 * time.Second

// flush moves what is only in the write-ahead log into tables.
func (db *DB) flush(ctx context.Context) error {
	done, err := db.pebble.AsyncFlush()
	if err != nil {
		return readFault(err)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when Close has begun.
func (db *DB) Done() <-chan struct{} { return db.closing }

// Last returns the position of the last readable event, 0 if there is none.
func (db *DB) Last() Position { return Position(db.visible.Load()) }

// enter keeps Close away until leave is called.
func (db *DB) enter() error {
	db.mu.RLock()
	if db.closed {
		db.mu.RUnlock()
		return ErrClosed
	}
	return nil
}

func (db *DB) leave() { db.mu.RUnlock() }

func pebbleOptions(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FS:       orderedFS{cfg.FS},
		ReadOnly: cfg.readOnly,
		// Pebble takes its memtables out of the cache: without their share nothing would be left for blocks.
		CacheSize:                   cfg.CacheBytes + 2*int64(cfg.MemTableBytes),
		MemTableSize:                cfg.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               256 << 20, // up to 2.5 GB a read looks into two levels, and into one more for every ten times that
		FlushSplitBytes:             8 << 20,
		MaxOpenFiles:                512,
		// The first version that tells a torn tail of the WAL from a damaged middle; it is raised deliberately only.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		Logger:             pebbleLogger{cfg.Logger, cfg.Fatal},
		EventListener:      complaints(cfg.Logger, cfg.Fatal),
	}
	for i := range o.Levels {
		// Names of streams are looked up before their first event: the filter spares those who are new a search.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.TargetFileSizes[i] = min(int64(4<<20)<<i, 32<<20)
	}
	return o
}

// pebbleLogger passes Pebble's chatter on at debug level and makes sure that Fatalf doesn't return.
type pebbleLogger struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf(format, args...))
	panic("engine: Config.Fatal returned") //nolint:forbidigo // its contract is not to return: to go on would be to acknowledge what is not on disk
}
