package engine_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/annalhq/annal/eventstore/engine"
)

var cutTime = flag.Duration("cuts", 5*time.Second, "how long TestPowerCuts cuts the power")

// ledger is what the writers of one life of the store sent and heard.
type ledger struct {
	mu    sync.Mutex
	sent  map[engine.ID]engine.Record // by id, without position, created and rest; the revision only if acknowledged
	acked []engine.Record             // in the order of the answers
}

// cut is the disk as it was at one instant, and how much was acknowledged before.
type cut struct {
	fs    *vfs.MemFS
	acked int
}

// cutter takes crash clones at random file operations, just before they happen.
type cutter struct {
	mu     sync.Mutex
	rng    *rand.Rand
	fs     *vfs.MemFS
	ledger *ledger
	cuts   []cut
	armed  bool
}

const cutsPerLife = 6

func (c *cutter) MaybeError(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || len(c.cuts) == cutsPerLife || c.rng.IntN(12) > 0 {
		return nil
	}
	c.ledger.mu.Lock()
	acked := len(c.ledger.acked)
	c.ledger.mu.Unlock()
	clone := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: rand.New(rand.NewPCG(c.rng.Uint64(), 4))})
	c.cuts = append(c.cuts, cut{clone, acked})
	return nil
}

func (c *cutter) String() string { return "cutter" }

func (c *cutter) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.cuts) == cutsPerLife
}

// TestPowerCuts cuts the power at random instants while several writers append, opens what is left, and wants every
// acknowledged event in it, unchanged, and every append whole or absent (invariants 1, 2, 3, 5). Some stores live on after the cut.
//
//	go test -run PowerCuts ./eventstore/engine -args -cuts 60s
func TestPowerCuts(t *testing.T) {
	span := *cutTime
	if testing.Short() {
		span /= 5
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	fs, l := vfs.NewCrashableMem(), &ledger{sent: map[engine.ID]engine.Record{}}
	cuts, events := 0, 0
	for begun := time.Now(); time.Since(begun) < span; {
		taken := live(t, fs, l, rng)
		for i, c := range taken {
			stored := examine(t, c, l)
			cuts, events = cuts+1, events+c.acked
			if t.Failed() {
				t.Fatalf("cut %d of seed %d", cuts, seed)
			}
			if i < len(taken)-1 {
				continue
			}
			fs = c.fs
			l = &ledger{sent: l.sent, acked: stored} // what was readable must stay
			if len(stored) > 600 {
				fs, l = vfs.NewCrashableMem(), &ledger{sent: map[engine.ID]engine.Record{}}
			}
		}
	}
	t.Logf("%d power cuts, %d acknowledged events checked, 0 lost, 0 torn", cuts, events)
}

// live opens the store on fs, lets writers append until enough cuts are taken, and closes it.
func live(t *testing.T, fs *vfs.MemFS, l *ledger, rng *rand.Rand) []cut {
	c := &cutter{rng: rand.New(rand.NewPCG(rng.Uint64(), 3)), fs: fs, ledger: l, armed: true}
	db := openMem(t, errorfs.Wrap(fs, c))
	var wg sync.WaitGroup
	for w := range 4 {
		r := rand.New(rand.NewPCG(rng.Uint64(), uint64(w)))
		wg.Go(func() {
			for n := 0; n < 400 && !c.done(); n++ {
				if err := appendSome(db, l, r, w); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	c.armed = false
	c.mu.Unlock()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return c.cuts
}

func openMem(t *testing.T, fs vfs.FS) *engine.DB {
	db, err := engine.Open("store", engine.Config{FS: fs, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// appendSome appends one to three events, a few of them large, to a stream of the writer's own, a new one, or one that all share.
func appendSome(db *engine.DB, l *ledger, r *rand.Rand, w int) error {
	stream := [...]string{fmt.Sprintf("own-%d", w), fmt.Sprintf("new-%d", r.Uint64()), "shared"}[r.IntN(3)]
	var events []engine.Event
	for range 1 + r.IntN(3) {
		size := r.IntN(300)
		if r.IntN(40) == 0 {
			size = 40 << 10
		}
		e := event(r.Uint64())
		e.Data = bytes.Repeat([]byte{byte(r.Uint32())}, size)
		events = append(events, e)
	}
	l.mu.Lock()
	for _, e := range events {
		l.sent[e.ID] = engine.Record{Stream: stream, Event: e}
	}
	l.mu.Unlock()
	a, err := db.Append(context.Background(), stream, engine.ExpectAny, events)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range events {
		back := len(events) - 1 - i
		l.acked = append(l.acked, engine.Record{
			Stream: stream, Event: e, Position: a.Position - engine.Position(back), Revision: engine.Revision(a.Revision - int64(back)),
		})
	}
	return nil
}

// examine opens a cut and returns what it holds.
func examine(t *testing.T, c cut, l *ledger) []engine.Record {
	t.Helper()
	db := openMem(t, c.fs)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	stored := everything(t, db)
	for i, r := range stored {
		sent, ok := l.sent[r.ID]
		if !ok || sent.Stream != r.Stream || !bytes.Equal(sent.Data, r.Data) {
			t.Errorf("position %d was never sent so", r.Position)
		}
		if r.Rest > uint64(len(stored)-1-i) || r.Rest > 0 && stored[i+1].Rest != r.Rest-1 {
			t.Errorf("the append at position %d is torn", r.Position)
		}
	}
	for _, a := range l.acked[:c.acked] {
		if int(a.Position) > len(stored) {
			t.Errorf("lost: acknowledged event at position %d, the log ends at %d", a.Position, len(stored))
			return stored
		}
		if r := stored[a.Position-1]; r.ID != a.ID || r.Revision != a.Revision || r.Stream != a.Stream {
			t.Errorf("changed: %+v was acknowledged, %+v is stored", a, r)
		}
	}
	checkIndex(t, db, stored)
	return stored
}

// everything reads the whole log; holes and bad checksums are errors of the engine's.
func everything(t *testing.T, db *engine.DB) (all []engine.Record) {
	t.Helper()
	for from := engine.Position(1); ; {
		page, err := db.ReadAll(from, engine.Forwards, 512)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Records...)
		if from = page.Next; page.End {
			return all
		}
	}
}

// checkIndex wants each stream to consist of exactly its events of the log.
func checkIndex(t *testing.T, db *engine.DB, log []engine.Record) {
	t.Helper()
	streams := map[string][]engine.Position{}
	for _, r := range log {
		if int(r.Revision) != len(streams[r.Stream]) {
			t.Errorf("position %d has revision %d, its stream has %d events before", r.Position, r.Revision, len(streams[r.Stream]))
		}
		streams[r.Stream] = append(streams[r.Stream], r.Position)
	}
	for stream, positions := range streams {
		page, err := db.ReadStream(stream, 0, engine.Forwards, 512)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, r := range page.Records {
			if r.Position != positions[i] {
				t.Errorf("revision %d of a stream is at %d in its index, at %d in the log", i, r.Position, positions[i])
			}
		}
		if page.End && len(page.Records) != len(positions) {
			t.Errorf("a stream has %d events in its index, %d in the log", len(page.Records), len(positions))
		}
	}
}
