package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEverySignalThatAsksEndsTheContext sends this process each of them.
func TestEverySignalThatAsksEndsTheContext(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		ctx, stop := untilSignal(t.Context())
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatalf("%v: nothing happens", s)
		}
		var by signalled
		if !errors.As(context.Cause(ctx), &by) || by.status() != 128+int(s) {
			t.Errorf("%v: %v", s, context.Cause(ctx))
		}
		stop()
	}
}

func TestAnInterruptionIsOneLine(t *testing.T) {
	h := homeAt(t, t.TempDir())
	h.state.Postgres.Process = sleeper(t)
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cmd := exec.CommandContext(ctx, "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cancel(signalled{syscall.SIGINT})
	for command, want := range map[string]string{"servers --build": "the same `make`", "broker wipe": "`bin/annal-local broker wipe`"} {
		if err := h.explain(ctx, command, ctx.Err()); !strings.Contains(err.Error(), "; "+want+" goes on") {
			t.Errorf("%s: %v", command, err)
		}
	}
	full := errors.New("no space left on device")
	err := h.explain(ctx, "start", errors.Join(during(ctx, "importing", cmd.Wait()), during(ctx, "building", ctx.Err()), ctx.Err()))
	want := "interrupted while importing and building; PostgreSQL still runs: `make down` ends it; `make start` goes on where this one stopped"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	err = h.explain(ctx, "start", errors.Join(during(ctx, "importing", ctx.Err()), full))
	if !errors.Is(err, full) || !strings.Contains(err.Error(), full.Error()) {
		t.Errorf("what went wrong besides is lost: %v", err)
	}
	if err := h.explain(t.Context(), "start", full); err != full { //nolint:errorlint // the very one
		t.Errorf("without a signal: %v", err)
	}
}

// A child gets the terminal's Ctrl-C too, and may be gone before we are told.
func TestAChildThatIsFasterThanTheSignalWasInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	died := exec.CommandContext(t.Context(), "/bin/sh", "-c", "exit 1").Run()
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := during(ctx, "building", died); !errors.As(err, new(cut)) {
		t.Errorf("%v", err)
	}
	if err := during(t.Context(), "building", died); errors.As(err, new(cut)) {
		t.Errorf("without a signal: %v", err)
	}
}

func TestAServerThatNobodyRecordedIsAdopted(t *testing.T) {
	h := homeAt(t, t.TempDir())
	h.state.Data = h.path("data")
	ours := exec.CommandContext(t.Context(), "/bin/sh", "-c", "read line", "sh", h.data("postgres"))
	held, err := ours.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := ours.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Process.Kill(); _ = ours.Wait() })
	put(t, h.data("postgres", "postmaster.pid"), strconv.Itoa(ours.Process.Pid)+"\n"+h.data("postgres")+"\n")
	stranger := sleeper(t)
	put(t, h.data("rabbitmq", "pid"), strconv.Itoa(stranger.PID)+"\n")
	if err := errors.Join(h.save(), h.load()); err != nil {
		t.Fatal(err)
	}
	if got := h.running(); len(got) != 1 || got[0] != "PostgreSQL" || h.state.Postgres.Process.PID != ours.Process.Pid {
		t.Errorf("running: %v", got)
	}
}
