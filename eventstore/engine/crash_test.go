package engine_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/annalhq/annal/eventstore/engine"
)

var (
	cutTime = flag.Duration("cuts", 5*time.Second, "how long TestPowerCuts cuts the power")
	cutSeed = flag.Uint64("cutseed", 0, "the history that TestPowerCuts begins with; 0: one that nobody has seen")
)

// Sizes that bring flushes and compactions about within a few hundred events.
const (
	cutWriters  = 4
	cutsPerLife = 24
	cutMemTable = 16 << 10
	cutEvents   = 300 // a store with more is followed by an empty one
	cutNames    = 200 // of streams: some stores have more, so both answers of the filter of names are tried
)

// TestPowerCuts cuts the power at random instants, while a store is opened, while several writers append to it and delete streams, while
// it flushes, compacts and closes, also in the middle of a write to the write-ahead log. It opens what is left and wants every
// acknowledged event in it, unchanged, and every append whole or absent (invariants 1, 2, 3, 5). Stores live on after a cut.
//
// A history comes from a number that a failure prints, and -cutseed begins with it; goroutines interleave anew each time, so a failure
// also keeps the disk as it was.
//
//	go test -run PowerCuts ./eventstore/engine -args -cuts 60s
func TestPowerCuts(t *testing.T) {
	span := *cutTime
	if testing.Short() {
		span /= 5
	}
	seed := *cutSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // stores of a moment: the collector would take a fifth of the time
	sum := tally{at: map[string]int{}}
	begun, busy := time.Now(), processorTime()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(begun) < span && !t.Failed() {
				mu.Lock()
				seed++
				h := history{t: t, seed: seed - 1}
				mu.Unlock()
				part := h.run(func() bool { return time.Since(begun) < span })
				mu.Lock()
				sum.add(part)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	outcome := "0 lost, 0 torn"
	if t.Failed() {
		outcome = "FAILED"
	}
	t.Logf("%d power cuts in %.1f s, %.0f a second of processor time, %d times an acknowledged event looked up: %s",
		sum.cuts, time.Since(begun).Seconds(), float64(sum.cuts)/(processorTime()-busy), sum.events, outcome)
	t.Logf("the stores went through %d flushes and %d compactions; the power went %s", sum.flushes, sum.compactions, sum.places())
	for _, place := range []string{"opening, folder", "running, wal", "running, table", "running, manifest", "closing, table"} {
		if sum.cuts > 500 && sum.at[place] == 0 {
			t.Errorf("no cut while %s was written", place)
		}
	}
}

// processorTime returns the seconds of processor time that this process has used.
func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// tally counts what was tried.
type tally struct {
	cuts, events         int
	flushes, compactions int64
	at                   map[string]int // cuts by what was happening
}

func (s *tally) add(o tally) {
	s.cuts += o.cuts
	s.events += o.events
	s.flushes += o.flushes
	s.compactions += o.compactions
	for place, n := range o.at {
		s.at[place] += n
	}
}

func (s *tally) places() string {
	var b strings.Builder
	for _, place := range slices.Sorted(maps.Keys(s.at)) {
		fmt.Fprintf(&b, "[%s: %d] ", place, s.at[place])
	}
	return b.String()
}

// history is a store from its first start through several lives, all from one seed.
type history struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	sum  tally
}

// run leads the store from cut to cut until it is large.
func (h *history) run(goOn func() bool) tally {
	h.rng = rand.New(rand.NewPCG(h.seed, 2))
	h.sum.at = map[string]int{}
	fs, l := vfs.NewCrashableMem(), newLedger()
	for goOn() {
		cuts := h.live(fs, l)
		if len(cuts) == 0 {
			return h.sum
		}
		var last survey
		for _, c := range cuts {
			if last = h.examine(c, l); h.t.Failed() {
				return h.sum
			}
		}
		if len(last.log) > cutEvents {
			return h.sum
		}
		l.acked, fs = kept(l, last.log), cuts[len(cuts)-1].fs
	}
	return h.sum
}

// kept makes receipts of all that is in a log: what was readable once must stay, acknowledged or not.
func kept(l *ledger, log []engine.Record) (acked []receipt) {
	for _, r := range log {
		if s := l.sent[r.ID]; s != nil {
			back := len(s.events) - 1
			acked = append(acked, receipt{s, s.stream, r.Position + engine.Position(back), int64(r.Revision) + int64(back)})
		}
	}
	return acked
}

// live opens the store on fs, lets writers append until enough cuts are taken, and closes it. The power may go all the while.
func (h *history) live(fs *vfs.MemFS, l *ledger) []cut {
	c := &cutter{rng: rand.New(rand.NewPCG(h.rng.Uint64(), 3)), fs: fs, ledger: l, phase: "opening"}
	db, err := openSmall(tearing{errorfs.Wrap(fs, c)})
	if err != nil {
		h.t.Error(err)
		return nil
	}
	c.enter("running")
	var wg sync.WaitGroup
	for w := range cutWriters {
		r := rand.New(rand.NewPCG(h.rng.Uint64(), uint64(w)))
		wg.Go(func() {
			for n := 0; n < 40 && !c.done(); n++ {
				if err := writeSome(db, l, r, w); err != nil {
					h.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c.enter("closing")
	flushes, compactions := engine.Work(db)
	h.sum.flushes += flushes
	h.sum.compactions += compactions
	if err := db.Close(); err != nil {
		h.t.Error(err)
	}
	return c.cuts
}

// examine opens a cut and looks whether it is one that the answers allow. If not, the disk is kept.
func (h *history) examine(c cut, l *ledger) survey {
	h.sum.cuts++
	h.sum.at[c.place]++
	image := c.fs.CrashClone(vfs.CrashCloneCfg{})
	found, err := h.look(c, l)
	h.sum.events += found.events
	if err != nil {
		h.t.Errorf("a cut while %s: %v", c.place, err)
	}
	if h.t.Failed() {
		dir, err := os.MkdirTemp("", "annal-power-cut-")
		if err == nil {
			_, err = vfs.Clone(image, vfs.Default, "store", dir)
		}
		h.t.Logf("history %d failed at a cut while %s; the disk is kept in %s (%v)", h.seed, c.place, dir, err)
	}
	return found
}

func (h *history) look(c cut, l *ledger) (survey, error) {
	db, err := openSmall(c.fs)
	if err != nil {
		return survey{}, err
	}
	found := l.examine(h.t, db, c.acked)
	return found, db.Close()
}

// quiet spares the reader what Pebble says about the damage that tests do.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openSmall(fs vfs.FS) (*engine.DB, error) {
	return engine.Open("store", engine.LimitNames(engine.Config{
		FS: fs, MemTableBytes: cutMemTable, CacheBytes: 256 << 10, FloorEvery: 3 * time.Millisecond, Logger: quiet(), Fatal: func(err error) { panic(err) },
	}, cutNames))
}

// cut is the disk as it was at one instant, and how many answers had been given before.
type cut struct {
	fs    *vfs.MemFS
	acked int
	place string
}

// cutter takes crash clones at random file operations, just before they happen. Of what was not synced, a random share is there.
type cutter struct {
	mu     sync.Mutex
	rng    *rand.Rand
	fs     *vfs.MemFS
	ledger *ledger
	cuts   []cut
	phase  string
	quota  int // cuts until this phase has had its share
}

func (c *cutter) enter(phase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = phase
	c.quota = len(c.cuts) + 4
	if phase == "running" {
		c.quota = cutsPerLife - 4
	}
}

// MaybeError takes the clone; it injects no error.
func (c *cutter) MaybeError(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || len(c.cuts) >= max(c.quota, 2) || c.rng.IntN(5) > 0 {
		return nil
	}
	acked := c.ledger.answers()
	clone := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: rand.New(rand.NewPCG(c.rng.Uint64(), 4))})
	c.cuts = append(c.cuts, cut{clone, acked, c.phase + ", " + fileKind(op.Path)})
	return nil
}

// String names the injector.
func (c *cutter) String() string { return "cutter" }

func (c *cutter) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.cuts) >= c.quota
}

// fileKind says what a file of a store is.
func fileKind(name string) string {
	switch base := path.Base(name); {
	case strings.HasSuffix(base, ".log"):
		return "wal"
	case strings.HasSuffix(base, ".sst"):
		return "table"
	case strings.HasPrefix(base, "MANIFEST"):
		return "manifest"
	case strings.HasPrefix(base, "marker."):
		return "marker"
	case strings.HasPrefix(base, "OPTIONS"):
		return "options"
	case strings.HasPrefix(base, "FLOOR"):
		return "floor"
	case strings.HasPrefix(base, "ANNAL-EVENTSTORE"):
		return "mark"
	case base == "LOCK":
		return "lock"
	}
	return "folder"
}

// tearing writes the write-ahead log in two steps, so that the power can go in between.
type tearing struct{ vfs.FS }

// Create returns a file that tears its writes if it is a write-ahead log.
func (f tearing) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if err != nil || fileKind(name) != "wal" {
		return file, err
	}
	return tornFile{file}, nil
}

// ReuseForWrite is Create for a recycled log.
func (f tearing) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, category)
	if err != nil || fileKind(to) != "wal" {
		return file, err
	}
	return tornFile{file}, nil
}

type tornFile struct{ vfs.File }

// Write splits p where its own bytes say, which is anywhere.
func (f tornFile) Write(p []byte) (int, error) {
	if len(p) < 2 {
		return f.File.Write(p)
	}
	at := 1 + (int(p[0])<<8+int(p[len(p)-1])+len(p))%(len(p)-1)
	n, err := f.File.Write(p[:at])
	if err != nil {
		return n, err
	}
	m, err := f.File.Write(p[at:])
	return n + m, err
}

// writeSome appends one to three events, a few of them large, to a stream of the writer's own, a new one, or one that all share; or
// deletes a stream, which a later append recreates.
func writeSome(db *engine.DB, l *ledger, r *rand.Rand, w int) error {
	if r.IntN(16) == 0 {
		stream := fmt.Sprintf("own-%d", w)
		p, err := db.Delete(context.Background(), stream, engine.ExpectAny)
		if err == nil {
			var page engine.StreamPage
			page, err = db.ReadStream("$$"+stream, engine.LastRevision, engine.Backwards, 1)
			l.answered(receipt{stream: stream, position: p, revision: int64(page.Last)})
		}
		if errors.Is(err, engine.ErrWrongRevision) {
			return nil // no event yet
		}
		return err
	}
	s := &sending{stream: [...]string{fmt.Sprintf("own-%d", w), fmt.Sprintf("new-%d", r.Uint64()), "shared"}[r.IntN(3)]}
	for range 1 + r.IntN(3) {
		size := r.IntN(300)
		if r.IntN(40) == 0 {
			size = 6 << 10
		}
		e := event(r.Uint64())
		e.Data = bytes.Repeat([]byte{byte(r.Uint32())}, size)
		s.events = append(s.events, e)
	}
	l.send(s)
	a, err := db.Append(context.Background(), s.stream, engine.ExpectAny, s.events)
	if err != nil {
		return err
	}
	l.answered(receipt{s, s.stream, a.Position, a.Revision})
	return nil
}
