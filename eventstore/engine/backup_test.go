package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
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
	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/eventstore/engine"
)

// keys returns the store's own keys that speak of positions up to p, with their values.
func keys(t *testing.T, db *engine.DB, p engine.Position) map[string]string {
	t.Helper()
	it, err := db.Pebble().NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		of := uint64(0)
		switch k[0] {
		case 'e':
			of = binary.BigEndian.Uint64(k[1:])
		case 's', 'n':
			of = binary.BigEndian.Uint64(v)
		}
		if engine.Position(of) <= p && k[0] != 'm' && k[0] != 'l' { // 'l' is derived
			all[string(k)] = string(v)
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

func backup(t *testing.T, db *engine.DB, dest string) *engine.Manifest {
	t.Helper()
	m, err := db.Backup(t.Context(), dest, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func archive(t *testing.T, db *engine.DB, dest string) engine.Segment {
	t.Helper()
	s, err := db.ArchiveTail(t.Context(), dest)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scribble appends, describes, deletes and ends at random; some appends have several events.
func scribble(t *testing.T, db *engine.DB, rng *rand.Rand, n int) {
	t.Helper()
	for range n {
		stream := fmt.Sprintf("s-%d", rng.IntN(20))
		var err error
		switch op := rng.IntN(20); {
		case op < 16:
			var events []engine.Event
			for range 1 + rng.IntN(4) {
				events = append(events, event(rng.Uint64()))
			}
			_, err = db.Append(t.Context(), stream, engine.ExpectAny, events)
		case op < 18:
			e := event(rng.Uint64())
			e.Type, e.Data = engine.MetadataType, fmt.Appendf(nil, `{"$maxCount":%d}`, 1+rng.IntN(6))
			_, err = db.Append(t.Context(), "$$"+stream, engine.ExpectAny, []engine.Event{e})
		case op < 19:
			_, err = db.Delete(t.Context(), stream, engine.ExpectAny)
		case rng.IntN(6) == 0:
			_, err = db.Tombstone(t.Context(), stream, engine.ExpectAny)
		}
		if err != nil && !errors.Is(err, engine.ErrStreamDeleted) && !errors.Is(err, engine.ErrWrongRevision) {
			t.Fatal(err)
		}
	}
}

// A backup, prolonged by its tail and restored to a random position, is the original's prefix byte for byte, index and all (invariant 9).
func TestRestoreIsThePrefixByteForByte(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 6))
	dir := t.TempDir()
	dest := filepath.Join(dir, "backup")
	db := open(t, filepath.Join(dir, "store"), engine.Config{MemTableBytes: 64 << 10})
	scribble(t, db, rng, 150)
	scavenge(t, db) // stubs in the part that is copied
	scribble(t, db, rng, 50)
	m := backup(t, db, dest)
	for range 3 {
		scribble(t, db, rng, 60)
		archive(t, db, dest)
	}
	if none := archive(t, db, dest); none.First != 0 {
		t.Errorf("nothing was new: %+v", none)
	}
	last := db.Last()
	points := []engine.Position{last, m.Position}
	for len(points) < 10 {
		points = append(points, 1+engine.Position(rng.IntN(int(last))))
	}
	refused := 0
	for i, p := range points {
		target := filepath.Join(dir, fmt.Sprint("restored-", i))
		done, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{To: p})
		if errors.Is(err, engine.ErrRestorePoint) {
			refused++
			continue
		}
		if err != nil || done.Position != p {
			t.Fatalf("to %d: %+v, %v", p, done, err)
		}
		again := open(t, target, engine.Config{})
		want, got := keys(t, db, p), keys(t, again, engine.End)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("to %d of %d: -original +restored\n%.3000s", p, last, diff)
		}
		scribble(t, again, rng, 5)
		verify(t, again)
	}
	if refused > 8 {
		t.Errorf("%d of %d positions were refused", refused, len(points))
	}
}

// A scavenge between backup and tail: what is restored is the history as it was when the tail was archived, and sound.
func TestRestoreOverAScavenge(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		dir := t.TempDir()
		dest := filepath.Join(dir, "backup")
		db := open(t, filepath.Join(dir, "store"), engine.Config{})
		scribble(t, db, rng, 100)
		backup(t, db, dest)
		scribble(t, db, rng, 60)
		scavenge(t, db)
		scribble(t, db, rng, 20)
		archive(t, db, dest)
		scavenge(t, db)
		scribble(t, db, rng, 20)
		archive(t, db, dest)
		done, err := engine.Restore(t.Context(), dest, filepath.Join(dir, "again"), engine.RestoreConfig{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if want := verify(t, db); done.Digest != want.Digest || done.Position != want.Position {
			t.Errorf("seed %d: restored %+v of %+v", seed, done, want)
		}
		again := open(t, filepath.Join(dir, "again"), engine.Config{})
		for i := range 20 {
			s := fmt.Sprintf("s-%d", i)
			if got, want := revisions(t, again, s), revisions(t, db, s); got != want {
				t.Errorf("seed %d: %s has %s, want %s", seed, s, got, want)
			}
		}
	}
}

// A backup beside writers is a prefix of what they wrote, with every append acknowledged before it began (invariants 1, 6, 9).
func TestBackupBesideWriters(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "store"), engine.Config{MemTableBytes: 64 << 10})
	mustAppend(t, db, "first", engine.ExpectNoStream, event(1))
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for ctx.Err() == nil {
				scribble(t, db, rng, 5)
			}
		})
	}
	for i := range 4 {
		dest := filepath.Join(dir, fmt.Sprint("backup-", i))
		before := db.Last()
		m := backup(t, db, dest)
		archive(t, db, dest)
		target := filepath.Join(dir, fmt.Sprint("restored-", i))
		done, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{To: m.Position})
		if err != nil || done.Position < before {
			t.Errorf("restored %+v, %v; %d was acknowledged before", done, err, before)
			break
		}
		again := open(t, target, engine.Config{})
		if diff := cmp.Diff(keys(t, db, m.Position), keys(t, again, engine.End)); diff != "" {
			t.Errorf("-original +restored\n%.3000s", diff)
		}
	}
	stop()
	wg.Wait()
}

// The power goes at any instant of a backup (invariant 9): the store has all it had, and the backup is not there, or whole.
func TestPowerCutsDuringBackup(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	cuts, complete := 0, 0
	for range 6 {
		fs := vfs.NewCrashableMem()
		var mu sync.Mutex
		var taken []*vfs.MemFS
		armed := false
		db := openMem(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && rng.IntN(5) == 0 && len(taken) < 20 {
				taken = append(taken, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rand.New(rand.NewPCG(rng.Uint64(), 4))}))
			}
			return nil
		})))
		scribble(t, db, rand.New(rand.NewPCG(rng.Uint64(), 1)), 100)
		before := verify(t, db)
		mu.Lock()
		armed = true
		mu.Unlock()
		backup(t, db, "backup")
		scribble(t, db, rand.New(rand.NewPCG(rng.Uint64(), 1)), 5)
		archive(t, db, "backup")
		mu.Lock()
		armed = false
		taken = append(taken, fs.CrashClone(vfs.CrashCloneCfg{}))
		mu.Unlock()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, cut := range taken {
			cuts++
			db := openMem(t, cut)
			if v := verify(t, db); v.Position < before.Position || v.Position == before.Position && v.Digest != before.Digest {
				t.Errorf("seed %d: %+v became %+v", seed, before, v)
			}
			if _, err := cut.Stat("backup"); err == nil {
				complete++
				done, err := engine.Restore(t.Context(), "backup", "again", engine.RestoreConfig{FS: cut, To: before.Position})
				if err != nil || done.Digest != before.Digest {
					t.Errorf("seed %d: %+v, %v", seed, done, err)
				}
			} else {
				backup(t, db, "backup") // over what the killed one left
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d power cuts, %d behind a complete backup", cuts, complete)
	if complete == 0 || complete == cuts {
		t.Error("all cuts were on one side")
	}
}

// A restore that can't be right is refused, with a sentence that says what could, and leaves the directory as it was.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	dest, target := filepath.Join(dir, "backup"), filepath.Join(dir, "target")
	db := open(t, filepath.Join(dir, "store"), engine.Config{})
	mustAppend(t, db, "a", engine.ExpectNoStream, event(1))
	mustAppend(t, db, "a", 0, event(2), event(3), event(4))
	backup(t, db, dest)
	mustAppend(t, db, "a", 3, event(5))
	archive(t, db, dest)
	refuse := func(what string, want error, words, to string, cfg engine.RestoreConfig) {
		t.Helper()
		_, err := engine.Restore(t.Context(), dest, to, cfg)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %v with %q", what, err, want, words)
		}
	}
	refuse("beyond", engine.ErrRestorePoint, "ends at position 5", target, engine.RestoreConfig{To: 6})
	refuse("in the middle", engine.ErrRestorePoint, "restore to 1 or 4", target, engine.RestoreConfig{To: 3})
	refuse("over a store", engine.ErrNotEmpty, "not empty", filepath.Join(dir, "store"), engine.RestoreConfig{})
	if done, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{DryRun: true}); err != nil || done.Position != 5 {
		t.Errorf("a dry run: %+v, %v", done, err)
	}
	if names, err := os.ReadDir(target); err == nil && len(names) > 0 {
		t.Errorf("a refused restore left %v", names)
	}
	if _, err := db.Backup(t.Context(), dest, nil); !errors.Is(err, engine.ErrBackupExists) {
		t.Error(err)
	}
	other := open(t, filepath.Join(dir, "other"), engine.Config{})
	if _, err := other.ArchiveTail(t.Context(), dest); !errors.Is(err, engine.ErrBackupOther) {
		t.Error(err)
	}
	for i := range uint64(6) {
		mustAppend(t, other, "a", engine.ExpectAny, event(i+70))
	}
	if _, err := other.ArchiveTail(t.Context(), dest); !errors.Is(err, engine.ErrBackupOther) {
		t.Error(err)
	}
	unfinished := filepath.Join(dir, "unfinished")
	if err := errors.Join(os.MkdirAll(filepath.Join(unfinished, "log"), 0o700), os.WriteFile(filepath.Join(unfinished, "RESTORING"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	refuse("over an unfinished one", engine.ErrNotEmpty, "not finished", unfinished, engine.RestoreConfig{})
	if _, err := engine.Open(unfinished, engine.Config{}); !errors.Is(err, engine.ErrForeignDirectory) || !strings.Contains(err.Error(), "not finished") {
		t.Error(err)
	}
}

// Any flipped byte, cut or missing file of a backup is found before it is used, and named.
func TestADamagedBackupIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	db := openMem(t, fs)
	rng := rand.New(rand.NewPCG(5, 5))
	scribble(t, db, rng, 80)
	backup(t, db, "backup")
	scribble(t, db, rng, 20)
	archive(t, db, "backup")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pristine := map[string][]byte{}
	files(t, fs, "backup", pristine)
	for path, data := range pristine {
		for range min(6, len(data)) {
			damaged := map[string][]byte{}
			for p, d := range pristine {
				damaged[p] = d
			}
			switch at := rng.IntN(len(data)); rng.IntN(3) {
			case 0:
				delete(damaged, path)
			case 1:
				damaged[path] = data[:at]
			default:
				damaged[path] = bytes.Clone(data)
				damaged[path][at] ^= 1 << rng.IntN(8)
			}
			fs := restore(t, damaged)
			_, err := engine.CheckBackup(t.Context(), fs, "backup", nil)
			if !errors.Is(err, engine.ErrBackupDamaged) && !errors.Is(err, engine.ErrBackupMissing) {
				t.Errorf("%s: %v", path, err)
			}
			if _, err := engine.Restore(t.Context(), "backup", "again", engine.RestoreConfig{FS: fs}); err == nil {
				t.Errorf("%s was damaged, and restored", path)
			}
		}
	}
}
