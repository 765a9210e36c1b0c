package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/annalhq/annal/eventstore/engine"
)

// keepOne lets a scavenge remove all of a stream but its last event.
func keepOne(t *testing.T, db *engine.DB, stream string, n uint64) {
	t.Helper()
	e := event(n)
	e.Type, e.Data = engine.MetadataType, []byte(`{"$maxCount":1}`)
	mustAppend(t, db, "$$"+stream, engine.ExpectAny, e)
}

// A restore to before what a scavenge left of a stream would begin its revisions again at 0: it is refused, with the position that can be.
func TestARestoreNeverGivesARevisionTwice(t *testing.T) {
	for _, tail := range []bool{false, true} {
		t.Run(fmt.Sprintf("tail=%v", tail), func(t *testing.T) {
			dir := t.TempDir()
			dest := filepath.Join(dir, "backup")
			db := open(t, filepath.Join(dir, "store"), engine.Config{})
			mustAppend(t, db, "mark", engine.ExpectNoStream, event(1)) // position 1
			if tail {
				backup(t, db, dest)
			}
			mustAppend(t, db, "mark", 0, event(2))
			mustAppend(t, db, "other", engine.ExpectNoStream, event(3))
			mustAppend(t, db, "mark", 1, event(4)) // position 4: what a scavenge leaves
			keepOne(t, db, "mark", 5)
			scavenge(t, db)
			if tail {
				archive(t, db, dest)
			} else {
				backup(t, db, dest)
			}
			_, err := engine.Restore(t.Context(), dest, filepath.Join(dir, "early"), engine.RestoreConfig{To: 3})
			if !errors.Is(err, engine.ErrRestorePoint) || !tail && !strings.Contains(err.Error(), "restore to 4 or later") {
				t.Errorf("restored to a position behind which all of a stream lies: %v", err)
			}
			target := filepath.Join(dir, "later")
			if _, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{To: 4}); err != nil {
				t.Fatal(err)
			}
			if a := mustAppend(t, open(t, target, engine.Config{}), "mark", engine.ExpectAny, event(9)); a.Revision != 3 {
				t.Errorf("the next event has revision %d", a.Revision)
			}
		})
	}
}

// Random histories with scavenges, backups and tails between: wherever a restore is accepted, the next event of each stream has a revision that
// none had in the log up to there.
func TestRevisionsGoOnAfterAnyRestore(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 21))
		dir := t.TempDir()
		dest := filepath.Join(dir, "backup")
		db := open(t, filepath.Join(dir, "store"), engine.Config{})
		given := map[engine.Position]engine.Record{}
		note := func() {
			for _, r := range everything(t, db) {
				given[r.Position] = r
			}
		}
		for range 3 {
			scribble(t, db, rng, 25)
			note()
			scavenge(t, db)
		}
		backup(t, db, dest)
		for range 2 {
			scribble(t, db, rng, 25)
			note()
			scavenge(t, db)
			archive(t, db, dest)
		}
		accepted := 0
		for i := range 12 {
			p := 1 + engine.Position(rng.IntN(int(db.Last())))
			target := filepath.Join(dir, fmt.Sprint("restored-", i))
			if _, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{To: p}); errors.Is(err, engine.ErrRestorePoint) {
				continue
			} else if err != nil {
				t.Fatalf("seed %d, to %d: %v", seed, p, err)
			}
			accepted++
			again := open(t, target, engine.Config{})
			last := map[string]engine.Revision{}
			for at, r := range given {
				if at <= p {
					last[r.Stream] = max(last[r.Stream], r.Revision)
				}
			}
			for stream, r := range last {
				a, err := again.Append(t.Context(), stream, engine.ExpectAny, []engine.Event{event(rng.Uint64())})
				if !errors.Is(err, engine.ErrStreamDeleted) && (err != nil || engine.Revision(a.Revision) <= r) {
					t.Errorf("seed %d, to %d: %s goes on with %d after %d (%v)", seed, p, stream, a.Revision, r, err)
				}
			}
		}
		t.Logf("seed %d: %d of 12 accepted", seed, accepted)
	}
}

// A full disk is told as one, before or while a restore writes, and nothing is left behind.
func TestARestoreOntoAFullDiskSaysSo(t *testing.T) {
	fs := vfs.NewMem()
	db := openMem(t, fs)
	mustAppend(t, db, "a", engine.ExpectNoStream, event(1))
	backup(t, db, "backup")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	full := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.HasPrefix(op.Path, "again/log/") {
			return syscall.ENOSPC
		}
		return nil
	}))
	for name, on := range map[string]vfs.FS{"met": full, "foreseen": small{fs}} {
		_, err := engine.Restore(t.Context(), "backup", "again", engine.RestoreConfig{FS: on})
		if !errors.Is(err, engine.ErrDiskFull) || !strings.Contains(err.Error(), "make room") || strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := fs.List("again"); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

type small struct{ vfs.FS }

func (small) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 10}, nil
}

func TestARestoreWithinAStoreOrABackupIsRefused(t *testing.T) {
	dir := t.TempDir()
	dest, store := filepath.Join(dir, "backup"), filepath.Join(dir, "store")
	db := open(t, store, engine.Config{})
	mustAppend(t, db, "a", engine.ExpectNoStream, event(1))
	backup(t, db, dest)
	for _, target := range []string{filepath.Join(store, "x"), filepath.Join(store, "log", "x", "y"), filepath.Join(dest, "x"), filepath.Join(dest, "store", "log", "x")} {
		for _, dry := range []bool{true, false} {
			if _, err := engine.Restore(t.Context(), dest, target, engine.RestoreConfig{DryRun: dry}); !errors.Is(err, engine.ErrRestorePlace) {
				t.Errorf("into %s: %v", target, err)
			}
		}
	}
}
