package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// said returns what f prints.
func said(t *testing.T, f func()) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		all, err := io.ReadAll(read)
		if err != nil {
			t.Error(err)
		}
		text <- string(all)
	}()
	stdout := os.Stdout
	os.Stdout = write
	defer func() { os.Stdout = stdout }()
	f()
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	return <-text
}

func homeAt(t *testing.T, dir string) *home {
	t.Helper()
	h, err := openHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sleeper is a process that may be ended.
func sleeper(t *testing.T) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() { _ = cmd.Wait() }()
	return identify(cmd.Process.Pid)
}

func TestStopAndDownSayWhatTheyDid(t *testing.T) {
	h := homeAt(t, filepath.Join(t.TempDir(), "home"))
	for _, f := range []func(context.Context) error{h.stop, h.down} {
		told := said(t, func() {
			if err := h.lockedIfThere(t.Context(), f); err != nil {
				t.Error(err)
			}
		})
		if told != "nothing runs in "+h.dir+"\n" || exists(h.dir) {
			t.Errorf("%q; a directory was made: %v", told, exists(h.dir))
		}
	}
	run := func(f func(context.Context) error) string {
		return said(t, func() {
			err := h.locked(t.Context(), func(ctx context.Context) error {
				h.state.Daemon = sleeper(t)
				return f(ctx)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if told := run(h.stop); !strings.HasPrefix(told, "annald (process ") || strings.Count(told, "\n") != 1 {
		t.Errorf("stop: %q", told)
	}
	if told := run(h.down); told != "stopped annald\n" {
		t.Errorf("down: %q", told)
	}
	told := said(t, func() {
		if err := h.lockedIfThere(t.Context(), h.stop); err != nil {
			t.Error(err)
		}
	})
	if told != "annald does not run in "+h.dir+"\n" {
		t.Errorf("stop again: %q", told)
	}
}

func TestTheWaitForTheLockNamesItsHolder(t *testing.T) {
	h := homeAt(t, t.TempDir())
	put(t, h.path(lockFile), "4711\n")
	held, err := os.Open(h.path(lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	told := said(t, func() {
		if err := h.locked(ctx, func(context.Context) error { return nil }); err == nil {
			t.Error("two at once")
		}
	})
	if !strings.Contains(told, "process 4711") {
		t.Errorf("%q", told)
	}
}

func TestALockThatACleanRemovedIsTakenAnew(t *testing.T) {
	h := homeAt(t, t.TempDir())
	first, err := h.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := os.Open(h.path(lockFile)) // as one who opened it before the clean
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if err := os.Remove(h.path(lockFile)); err != nil {
		t.Fatal(err)
	}
	if isAt(waiting, h.path(lockFile)) {
		t.Fatal("a removed file passes for the lock")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := h.lock(t.Context())
	if err != nil || !isAt(second, h.path(lockFile)) {
		t.Fatal(err)
	}
	second.Close()
}
