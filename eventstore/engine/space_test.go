package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/internal/fault"
)

// dial is a disk whose free bytes a test sets.
type dial struct {
	vfs.FS
	free *atomic.Uint64
}

func (d dial) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 1 << 40}, nil
}

// until appends an event again and again until it is answered with want, which is nil for success.
func until(t *testing.T, db *engine.DB, n uint64, want error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; n++ {
		_, err := db.Append(t.Context(), "s", engine.ExpectAny, []engine.Event{event(n)})
		if errors.Is(err, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("appends answer %v, want %v", err, want)
		}
	}
}

// While less than the reserve is free, appends are refused and reads answered; when there is space again appends are accepted (invariant 8).
func TestLowDiskRefusesAppendsOnly(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	registry := prometheus.NewPedanticRegistry()
	db, err := engine.Open("store", engine.Config{FS: dial{vfs.NewMem(), &free}, ReserveBytes: 1 << 20, Registerer: registry, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	first := mustAppend(t, db, "s", engine.ExpectNoStream, event(1))
	free.Store(1<<20 - 1)
	until(t, db, 1000, engine.ErrDiskLow)
	if err := db.CheckSpace(); !errors.Is(err, engine.ErrDiskLow) || fault.KindOf(err) != fault.Exhausted || !strings.Contains(err.Error(), "0 MiB free") {
		t.Error(err)
	}
	if _, err := db.Delete(t.Context(), "s", engine.ExpectAny); !errors.Is(err, engine.ErrDiskLow) {
		t.Errorf("a deletion: %v", err)
	}
	if again := mustAppend(t, db, "s", engine.ExpectNoStream, event(1)); again != first {
		t.Errorf("a repeat needs no space: %+v", again)
	}
	if page, err := db.ReadStream("s", 0, engine.Forwards, 1); err != nil || len(page.Records) != 1 {
		t.Errorf("reads: %v", err)
	}
	scavenge(t, db) // makes room
	metric(t, registry, "annal_eventstore_disk_low", 1)
	metric(t, registry, "annal_eventstore_free_bytes", 1<<20-1)
	free.Store(1 << 20)
	until(t, db, 2000, nil)
	metric(t, registry, "annal_eventstore_disk_low", 0)
}

func metric(t *testing.T, from prometheus.Gatherer, name string, want float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		m := f.GetMetric()[0]
		got := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
		return
	}
	t.Errorf("there is no %s", name)
}

// The metrics say what happened, and their names are as Prometheus wants them.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	db := open(t, t.TempDir(), engine.Config{Registerer: registry})
	mustAppend(t, db, "s", engine.ExpectNoStream, event(1), event(2), event(3))
	if _, err := db.Append(t.Context(), "s", engine.ExpectNoStream, []engine.Event{event(9)}); !errors.Is(err, engine.ErrWrongRevision) {
		t.Fatal(err)
	}
	describe(t, db, "s", 10, `{"$maxCount":1}`)
	scavenge(t, db)
	for name, want := range map[string]float64{"appends_total": 2, "events_total": 4, "conflicts_total": 1, "append_seconds": 4 - 1 + 2, "visible_position": 4,
		"scavenged_events_total": 2, "disk_low": 0} {
		metric(t, registry, "annal_eventstore_"+name, want)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// tmpfs mounts a disk of so many MiB; only root can.
func tmpfs(t *testing.T, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("1 test of full disks left out: mounting a tmpfs needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "annal-test", dir).CombinedOutput(); err != nil {
		t.Skipf("1 test of full disks left out: mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// fill takes all but so many bytes of the disk.
func fill(t *testing.T, dir string, left uint64) string {
	t.Helper()
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeros{}, int64(usage.AvailBytes-min(left, usage.AvailBytes)))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A small disk is filled by somebody else: below the reserve appends are refused, and accepted when there is space again (invariant 8).
func TestAFullDiskIsNoticedBeforeItIsFull(t *testing.T) {
	disk := tmpfs(t, 64)
	db := open(t, filepath.Join(disk, "store"), engine.Config{ReserveBytes: 16 << 20})
	mustAppend(t, db, "s", engine.ExpectNoStream, event(1))
	filler := fill(t, disk, 8<<20)
	until(t, db, 1000, engine.ErrDiskLow)
	if page, err := db.ReadStream("s", 0, engine.Forwards, 1); err != nil || len(page.Records) != 1 {
		t.Errorf("reads: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	until(t, db, 100_000, nil)
}

// A disk that is full to the last byte ends the process in the middle of an append; with space again the store opens and has lost nothing that
// was acknowledged (invariants 1, 8).
func TestAFullDiskEndsTheProcessAndLosesNothing(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		fillingChild(dir)
		return
	}
	disk := tmpfs(t, 100)
	dir := filepath.Join(disk, "store")
	db := open(t, dir, engine.Config{})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	filler := fill(t, disk, 72<<20) // leaves 28 MiB; then there is room for what compaction writes beside the log
	cmd := exec.Command(os.Args[0], "-test.run=TestAFullDiskEndsTheProcessAndLosesNothing")
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "no space left on device") {
		t.Fatalf("the process did not end as it should: %v\n%.2000s\n%.2000s", err, out, stderr.String())
	}
	acked := strings.Count(string(out), "acked")
	full, fullErr := engine.Open(dir, engine.Config{Logger: slog.New(slog.DiscardHandler)})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if fullErr == nil { // it took no more than there was
		fullErr = full.Close()
	}
	if fullErr != nil && fault.CodeOf(fullErr) != "STORE_DISK_FULL" {
		t.Errorf("opened while the disk was full: %v", fullErr)
	}
	db = open(t, dir, engine.Config{ReserveBytes: -1})
	if v := verify(t, db); v.Events < uint64(acked) || acked < 10 {
		t.Fatalf("%d acknowledged, %+v stored", acked, v)
	}
	mustAppend(t, db, "after", engine.ExpectNoStream, event(1))
	t.Logf("%d acknowledged before the disk was full", acked)
}

func fillingChild(dir string) {
	db, err := engine.Open(dir, engine.Config{ReserveBytes: -1, MemTableBytes: 1 << 20})
	if err != nil {
		fmt.Println("WRONG", err)
		return
	}
	for n := range uint64(100_000) {
		e := event(n)
		e.Data = make([]byte, 16<<10)
		for i := range e.Data {
			e.Data[i] = byte(uint64(i*i)*2654435761>>7 + n)
		}
		if _, err := db.Append(context.Background(), "s", engine.ExpectAny, []engine.Event{e}); err != nil {
			fmt.Println("WRONG: answered", err)
			return
		}
		fmt.Println("acked", n)
	}
}
