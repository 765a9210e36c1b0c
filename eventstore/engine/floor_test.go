package engine_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/eventstore/engine"
)

// TestTheFloorFollowsTheLog wants FLOOR to be raised while the store is open, and to stay true when the power goes.
func TestTheFloorFollowsTheLog(t *testing.T) {
	fs := vfs.NewCrashableMem()
	raised := make(chan struct{}, 100)
	db, err := engine.Open("store", engine.Config{FS: floorWatcher{fs, raised}, FloorEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, db, "s", engine.ExpectNoStream, event(1), event(2))
	<-raised
	image := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, image, "store/FLOOR"); !strings.HasPrefix(got, "position 2 crc ") {
		t.Errorf("the floor is %q", got)
	}
	if err := image.RemoveAll("store/log"); err != nil {
		t.Fatal(err)
	}
	if _, err := openSmall(image); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("the log is gone, and opening says %v", err)
	}
}

// floorWatcher tells when a floor is in place: its folder is synced after the rename.
type floorWatcher struct {
	vfs.FS
	raised chan struct{}
}

// Rename renames, makes that durable, and tells.
func (w floorWatcher) Rename(from, to string) error {
	if err := w.FS.Rename(from, to); err != nil || fileKind(to) != "floor" {
		return err
	}
	dir, err := w.FS.OpenDir(w.FS.PathDir(to))
	if err != nil {
		return err
	}
	err = errors.Join(dir.Sync(), dir.Close())
	w.raised <- struct{}{}
	return err
}

func content(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}
