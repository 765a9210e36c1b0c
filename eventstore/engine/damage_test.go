package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/annalhq/annal/eventstore/engine"
)

// files reads a whole tree of a file system in memory.
func files(t *testing.T, fs vfs.FS, dir string, into map[string][]byte) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			files(t, fs, path, into)
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if into[path], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func restore(t *testing.T, content map[string][]byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	for path, data := range content {
		if err := fs.MkdirAll(fs.PathDir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

func openMem(t *testing.T, fs vfs.FS) *engine.DB {
	t.Helper()
	db, err := openSmall(fs)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestDamagedRecordIsNamed damages a record below Pebble's own checksums, which only ours can notice.
func TestDamagedRecordIsNamed(t *testing.T) {
	r := engine.Record{Position: 7, Stream: "order-1", Revision: 3, Event: event(1)}
	good := engine.EncodeRecord(&r)
	if _, err := engine.DecodeRecord(7, good); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.DecodeRecord(8, good); err == nil {
		t.Error("a record at another position passes")
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		if _, err := engine.DecodeRecord(7, bad); err == nil {
			t.Errorf("byte %d flipped, and nothing noticed", i)
		}
		if _, err := engine.DecodeRecord(7, good[:i]); err == nil {
			t.Errorf("cut after %d bytes, and nothing noticed", i)
		}
	}
}

const childVariable = "ENGINE_TEST_CHILD_DIR"

// TestFailedSyncIsNeverAcknowledged runs appends in a process of their own whose disk fails one fsync of the write-ahead log: the
// append in progress gets no answer, the process ends, and the next one finds everything that was acknowledged.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		failingChild(dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=TestFailedSyncIsNeverAcknowledged")
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "can't be written") {
		t.Fatalf("the process did not end as it should: %v\n%s\n%s", err, out, stderr.String())
	}
	if strings.Contains(string(out), "WRONG") {
		t.Fatalf("acknowledged in spite of the failed sync:\n%s", out)
	}
	acked := strings.Count(string(out), "acked")
	db := open(t, dir, engine.Config{})
	if db.Last() < engine.Position(acked) || acked < 10 {
		t.Fatalf("%d acknowledged, %d stored", acked, db.Last())
	}
}

func failingChild(dir string) {
	var syncs, failed atomic.Int64
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && strings.HasSuffix(op.Path, ".log") && syncs.Add(1) == 20 {
			failed.Store(1)
			return errors.New("injected: input/output error")
		}
		return nil
	}))
	db, err := engine.Open(dir, engine.Config{FS: fs})
	if err != nil {
		fmt.Println("WRONG", err)
		return
	}
	for n := range uint64(100) {
		_, err := db.Append(context.Background(), "s", engine.ExpectAny, []engine.Event{event(n)})
		if failed.Load() != 0 {
			fmt.Println("WRONG: answered", err)
			return
		}
		fmt.Println("acked", n)
	}
}

// TestLostTailIsNoticed takes Pebble's files away one by one, and all at once: what it would take for an older or a new store must not
// pass as ours.
func TestLostTailIsNoticed(t *testing.T) {
	fs := vfs.NewMem()
	db := openMem(t, fs)
	mustAppend(t, db, "s-1", engine.ExpectAny, event(1), event(2))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pristine := map[string][]byte{}
	files(t, fs, "store", pristine)
	lose := func(what string, lost func(path string) bool) {
		t.Helper()
		left := map[string][]byte{}
		for path, data := range pristine {
			if !lost(path) {
				left[path] = data
			}
		}
		if got, err := readable(restore(t, left)); err == nil && len(got.log) != 2 {
			t.Errorf("without %s: %d records and no error", what, len(got.log))
		}
	}
	for path := range pristine {
		lose(path, func(p string) bool { return p == path })
	}
	lose("Pebble's folder", func(p string) bool { return strings.Contains(p, "/log/") })
}
