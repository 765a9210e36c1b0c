package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

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

// readable opens the store and reads all of it, log and streams; the first error wins.
func readable(fs vfs.FS) (all []engine.Record, err error) {
	db, err := engine.Open("store", engine.Config{FS: fs, Fatal: func(err error) { panic(err) }})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for from := engine.Position(1); ; {
		page, err := db.ReadAll(from, engine.Forwards, 512)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Records...)
		if from = page.Next; page.End {
			break
		}
	}
	for i := range 8 {
		page, err := db.ReadStream(fmt.Sprintf("s-%d", i), 0, engine.Forwards, 512)
		if err != nil && !errors.Is(err, engine.ErrStreamMissing) {
			return nil, err
		}
		all = append(all, page.Records...)
	}
	return all, nil
}

// TestFlippedBytesAreDetectedOrHarmless flips bits all over a small store (invariant 7): each flip must lead to a typed error, or
// change nothing.
func TestFlippedBytesAreDetectedOrHarmless(t *testing.T) {
	fs := vfs.NewMem()
	db := openMem(t, fs)
	for i := range uint64(160) {
		mustAppend(t, db, fmt.Sprintf("s-%d", i%8), engine.ExpectAny, event(i))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pristine := map[string][]byte{}
	files(t, fs, "store", pristine)
	want, err := readable(restore(t, pristine))
	if err != nil || len(want) != 320 {
		t.Fatal(len(want), err)
	}
	rng := rand.New(rand.NewPCG(1, 5))
	step := 100
	if testing.Short() {
		step = 400
	}
	detected, harmless := 0, 0
	for path, data := range pristine {
		for at := rng.IntN(step); at < len(data); at += 1 + rng.IntN(2*step) {
			damaged := map[string][]byte{}
			for p, d := range pristine {
				damaged[p] = d
			}
			flipped := append([]byte(nil), data...)
			flipped[at] ^= 1 << rng.IntN(8)
			damaged[path] = flipped
			got, err := readable(restore(t, damaged))
			switch {
			case err != nil:
				detected++
			case cmp.Equal(got, want):
				harmless++
			default:
				t.Errorf("%s, byte %d: %d records instead of %d, and no error", path, at, len(got), len(want))
			}
		}
	}
	t.Logf("%d flips detected, %d harmless", detected, harmless)
	if detected == 0 {
		t.Error("nothing was detected")
	}
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
		if got, err := readable(restore(t, left)); err == nil && len(got) != 4 {
			t.Errorf("without %s: %d records and no error", what, len(got))
		}
	}
	for path := range pristine {
		lose(path, func(p string) bool { return p == path })
	}
	lose("Pebble's folder", func(p string) bool { return strings.Contains(p, "/log/") })
}
