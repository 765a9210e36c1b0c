package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/annalhq/annal/eventstore/engine"
)

func describe(t testing.TB, db *engine.DB, stream string, n uint64, metadata string) {
	t.Helper()
	e := event(n)
	e.Type, e.Data = engine.MetadataType, []byte(metadata)
	mustAppend(t, db, "$$"+stream, engine.ExpectAny, e)
}

// revisions reads a stream, forwards.
func revisions(t testing.TB, db *engine.DB, stream string) string {
	t.Helper()
	var all []engine.Revision
	for from := engine.Revision(0); ; {
		page, err := db.ReadStream(stream, from, engine.Forwards, 100)
		if err != nil {
			return err.Error()
		}
		for _, r := range page.Records {
			all = append(all, r.Revision)
		}
		if from = page.Next; page.End {
			return fmt.Sprint(all)
		}
	}
}

// A scavenge removes what metadata hides and nothing else: the streams read as before, loosened metadata brings nothing back, numbers go
// on, and what a predicate protects stays.
func TestScavengeRemovesWhatNobodyCanRead(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	db := open(t, dir, engine.Config{Now: func() time.Time { return now }})
	for i := range uint64(6) {
		mustAppend(t, db, "count", engine.ExpectAny, event(10+i))
		mustAppend(t, db, "before", engine.ExpectAny, event(20+i))
		mustAppend(t, db, "age", engine.ExpectAny, event(30+i))
		mustAppend(t, db, "plain", engine.ExpectAny, event(40+i))
		mustAppend(t, db, "order-1", engine.ExpectAny, event(50+i))
		now = now.Add(time.Minute)
	}
	describe(t, db, "count", 90, `{"$maxCount":2}`)
	describe(t, db, "before", 91, `{"$tb":9}`)
	describe(t, db, "before", 92, `{"$tb":4}`)
	describe(t, db, "age", 93, `{"$maxAge":200}`)
	describe(t, db, "order-1", 94, `{"$maxCount":1}`)
	streams := []string{"count", "before", "age", "plain", "order-1", "$$before"}
	want := map[string]string{"count": "[4 5]", "before": "[4 5]", "age": "[3 4 5]", "plain": "[0 1 2 3 4 5]", "order-1": "[5]", "$$before": "[1]"}
	check := func(when string) {
		t.Helper()
		for _, s := range streams {
			if got := revisions(t, db, s); got != want[s] {
				t.Errorf("%s: %s has %s, want %s", when, s, got, want[s])
			}
		}
	}
	check("before")
	done, err := db.Scavenge(t.Context(), engine.ScavengeConfig{Keep: func(stream string) bool { return strings.HasPrefix(stream, "order-") }})
	if err != nil || done.Events != 4+4+3+1 || done.Kept != 1 || done.Swept != 4 {
		t.Fatalf("%+v %v", done, err)
	}
	check("after")
	verify(t, db)
	if all := everything(t, db); len(all) != 30+5-12 {
		t.Errorf("the log shows %d events", len(all))
	}
	describe(t, db, "count", 95, `{}`)
	mustAppend(t, db, "count", 5, event(99))
	want["count"] = "[4 5 6]"
	check("loosened")
	if again := scavenge(t, db); again.Events != 5+1 { // order-1 is no longer protected; the metadata of count
		t.Errorf("%+v", again)
	}
	want["order-1"] = "[5]"
	check("again")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, engine.Config{Now: func() time.Time { return now }})
	check("reopened")
	if _, err := db.Append(t.Context(), "before", engine.ExpectNoStream, []engine.Event{event(20)}); !errors.Is(err, engine.ErrWrongRevision) {
		t.Errorf("a repeat of what was scavenged: %v", err)
	}
}

// A store gets format 2 with its first stub, not before; a program that knows format 1 alone refuses it then.
func TestTheFormatIsRaisedWhenNeeded(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, engine.Config{})
	format := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "ANNAL-EVENTSTORE"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	mustAppend(t, db, "s", engine.ExpectAny, event(1), event(2), event(3))
	scavenge(t, db)
	if format() != "annal event store, format 1\n" {
		t.Errorf("nothing was scavenged: %q", format())
	}
	describe(t, db, "s", 4, `{"$maxCount":1}`)
	scavenge(t, db)
	if format() != "annal event store, format 2\n" {
		t.Errorf("%q", format())
	}
}

// The space comes back: of 4 MB that don't compress, nine tenths may go.
func TestScavengeGivesSpaceBack(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{MemTableBytes: 1 << 20})
	rng := rand.NewChaCha8([32]byte{1})
	for i := range uint64(1000) {
		e := event(i)
		e.Data = make([]byte, 4<<10)
		_, _ = rng.Read(e.Data)
		mustAppend(t, db, fmt.Sprintf("s-%d", i%10), engine.ExpectAny, e)
	}
	for i := range uint64(9) {
		describe(t, db, fmt.Sprintf("s-%d", i), 5000+i, `{"$maxCount":1}`)
	}
	done := scavenge(t, db)
	if done.Events != 9*99 || done.DiskAfter > done.DiskBefore/4 {
		t.Errorf("%+v", done)
	}
	verify(t, db)
}

// scavengeCut is the disk at one instant of a scavenge.
func scavengeCuts(t *testing.T, fs *vfs.MemFS, rng *rand.Rand) (cuts []*vfs.MemFS) {
	var mu sync.Mutex
	armed := true
	tap := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && rng.IntN(6) == 0 && len(cuts) < 12 {
			cuts = append(cuts, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rand.New(rand.NewPCG(rng.Uint64(), 4))}))
		}
		return nil
	})
	db := openMem(t, errorfs.Wrap(fs, tap))
	scavenge(t, db)
	mu.Lock()
	armed = false
	mu.Unlock()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return cuts
}

// The power goes at any instant of a scavenge (invariants 1, 3, 7): what is left is sound, every stream reads as it did, and the next scavenge
// finishes the work.
func TestPowerCutsDuringScavenge(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	total := 0
	for range rounds {
		fs := vfs.NewCrashableMem()
		db := openMem(t, fs)
		varied(t, db, 4+rng.IntN(6))
		var streams []string
		want := map[string]string{}
		for _, r := range everything(t, db) {
			if _, ok := want[r.Stream]; !ok {
				streams, want[r.Stream] = append(streams, r.Stream), revisions(t, db, r.Stream)
			}
		}
		before := verify(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, cut := range scavengeCuts(t, fs, rng) {
			total++
			db := openMem(t, cut)
			left := verify(t, db)
			if left.Digest != before.Digest || left.Position != before.Position || left.Scavenged < before.Scavenged {
				t.Errorf("%+v became %+v", before, left)
			}
			read := func(when string) {
				for _, s := range streams {
					if got := revisions(t, db, s); got != want[s] {
						t.Errorf("seed %d, %s: %s has %s, had %s", seed, when, s, got, want[s])
					}
				}
			}
			read("after the cut")
			scavenge(t, db)
			read("scavenged again")
			if again := scavenge(t, db); again.Events > 0 || verify(t, db).Digest != before.Digest {
				t.Errorf("%+v", again)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d power cuts", total)
}

// Scavenges beside writers and readers: metadata is loosened and tightened all the time, and after each loosening was answered every event
// written since then must stay readable until the next tightening. Readers never meet damage.
func TestScavengeTakesNothingThatIsReadable(t *testing.T) {
	db := openMem(t, vfs.NewMem()) // its fsyncs cost nothing: the more interleavings
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { loosenAndTighten(t, ctx, db, fmt.Sprintf("s-%d", w), uint64(w+1)<<40) })
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := db.ReadStream(fmt.Sprintf("s-%d", w), 0, engine.Forwards, 100); err != nil && !errors.Is(err, engine.ErrStreamMissing) {
					t.Error(err)
				}
				if _, err := db.ReadAll(engine.End, engine.Backwards, 100); err != nil {
					t.Error(err)
				}
			}
		})
	}
	removed, rounds := uint64(0), 0
	for ctx.Err() == nil {
		done, err := db.Scavenge(context.Background(), engine.ScavengeConfig{Rate: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		removed += done.Events
		rounds++
	}
	wg.Wait()
	verify(t, db)
	t.Logf("%d scavenges removed %d events", rounds, removed)
	if removed == 0 {
		t.Error("nothing was scavenged")
	}
}

// What became readable again between a scavenge's look and its deed stays: the deed looks again.
func TestScavengeLooksAgainBeforeItRemoves(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	for i := range uint64(6) {
		mustAppend(t, db, "s", engine.ExpectAny, event(i))
	}
	describe(t, db, "s", 10, `{"$maxCount":1}`)
	done, err := db.Scavenge(t.Context(), engine.ScavengeConfig{Keep: func(stream string) bool { // asked in between
		if stream == "s" {
			describe(t, db, "s", 11, `{"$maxCount":4}`)
		}
		return false
	}})
	if got := revisions(t, db, "s"); err != nil || got != "[2 3 4 5]" || done.Events != 2 {
		t.Errorf("%s is left, %+v, %v", got, done, err)
	}
	verify(t, db)
}

func loosenAndTighten(t *testing.T, ctx context.Context, db *engine.DB, stream string, n uint64) {
	for ctx.Err() == nil {
		n++
		describe(t, db, stream, n, `{"$maxCount":1000000}`)
		var mine []engine.ID
		for range 5 {
			n++
			e := event(n)
			mustAppend(t, db, stream, engine.ExpectAny, e)
			mine = append(mine, e.ID)
		}
		page, err := db.ReadStream(stream, engine.LastRevision, engine.Backwards, 5)
		if err != nil || len(page.Records) != 5 {
			t.Errorf("%d of 5 readable events, %v", len(page.Records), err)
			return
		}
		for i, r := range page.Records {
			if !bytes.Equal(r.ID[:], mine[4-i][:]) {
				t.Error("another event")
			}
		}
		n++
		describe(t, db, stream, n, `{"$maxCount":1}`)
	}
}

// A second scavenge is refused while one works; one that is interrupted says so, and what it did stays done.
func TestScavengesDoNotMeet(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	for i := range uint64(600) {
		mustAppend(t, db, "s", engine.ExpectAny, event(i))
	}
	describe(t, db, "s", 1000, `{"$maxCount":1}`)
	ctx, stop := context.WithCancel(context.Background())
	var second error
	done, err := db.Scavenge(ctx, engine.ScavengeConfig{Rate: 1, Progress: func(engine.Scavenged) {
		_, second = db.Scavenge(context.Background(), engine.ScavengeConfig{})
		stop()
	}})
	if !errors.Is(second, engine.ErrScavenging) || !errors.Is(err, context.Canceled) || done.Events != 256 {
		t.Errorf("%v, %v, %+v", second, err, done)
	}
	if rest := scavenge(t, db); rest.Events != 599-256 {
		t.Errorf("%+v", rest)
	}
}
