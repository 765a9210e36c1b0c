package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestWhatAnotherCallClearedIsCleared(t *testing.T) {
	h := homeAt(t, t.TempDir())
	ran := identify(os.Getpid())
	h.state.Daemon = ran
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	other := homeAt(t, h.dir)
	err := other.locked(t.Context(), func(context.Context) error {
		other.state.Daemon = process{} // as stopDaemon does
		return other.save()
	})
	if err != nil {
		t.Fatal(err)
	}
	var end error
	told := said(t, func() { end = h.locked(t.Context(), func(context.Context) error { return h.explainEnd(ran, nil) }) })
	if end != nil || told != "stopped\n" {
		t.Fatalf("%q, %v", told, end)
	}
}

func TestADaemonThatDiedIsToldWithItsOwnLog(t *testing.T) {
	h := homeAt(t, t.TempDir())
	died := process{PID: 1, Started: "long ago"}
	h.logFrom = int64(len("yesterday's trouble\n"))
	for _, tc := range []struct{ ends, log, says string }{
		{"kill -KILL $$", "", "annald was ended from outside by SIGKILL (kill -9, or the kernel for want of memory: `dmesg` says so); it wrote nothing"},
		{"kill -USR1 $$", "", "annald was ended from outside by signal 10 (user defined signal 1)"},
		{"exit 3", "today's trouble\n", "annald ended by itself with exit status 3; the end of"},
		{"exit 0", "today's trouble\n", "today's trouble"},
	} {
		put(t, h.path("annald.log"), "yesterday's trouble\n"+tc.log)
		h.state.Daemon = died
		how := exec.CommandContext(t.Context(), "/bin/sh", "-c", tc.ends).Run()
		if err := h.explainEnd(died, how); err == nil || strings.Contains(err.Error(), "yesterday") || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", tc.ends, err)
		}
		if told := said(t, func() { _ = h.stop(t.Context()) }); strings.Contains(told, "gone") {
			t.Errorf("%s: what was told is told again: %q", tc.ends, told)
		}
	}
}

func TestADaemonThatIsGoneIsToldByStop(t *testing.T) {
	h := homeAt(t, t.TempDir())
	h.state.Daemon = process{PID: 4711, Started: "long ago"}
	for _, want := range []bool{true, false} {
		told := said(t, func() {
			if err := h.stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if strings.Contains(told, "(process 4711) was gone already") != want {
			t.Errorf("told before: %v; %q", !want, told)
		}
	}
}

func TestPreflightTellsAllThatIsTaken(t *testing.T) {
	h := homeAt(t, t.TempDir())
	for _, setting := range []string{"ANNAL_HTTP_LISTEN", "ANNAL_ADMIN_LISTEN", "ANNAL_EVENTSTORE_LISTEN"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv(setting, l.Addr().String())
	}
	t.Setenv("ANNAL_POSTGRES_URL", "")
	t.Setenv("ANNAL_RABBITMQ_URL", "")
	t.Setenv("ANNAL_EVENTSTORE_URL", "")
	err := h.preflight()
	for _, setting := range []string{"ANNAL_HTTP_LISTEN", "ANNAL_ADMIN_LISTEN", "ANNAL_EVENTSTORE_LISTEN"} {
		if err == nil || !strings.Contains(err.Error(), "set "+setting) {
			t.Errorf("%s is not told: %v", setting, err)
		}
	}
	t.Setenv("ANNAL_ADMIN_LISTEN", "127.0.0.1:0")
	if err := h.preflight(); err == nil || !strings.Contains(err.Error(), "ANNAL_ADMIN_LISTEN=127.0.0.1:0: name a port") {
		t.Errorf("port 0: %v", err)
	}
	t.Setenv("ANNAL_BANANA", "yes")
	if err := background(t.Context(), h); err == nil || !strings.Contains(err.Error(), "ANNAL_BANANA") || exists(h.path("data")) {
		t.Errorf("an unknown setting, servers started %v: %v", exists(h.path("data")), err)
	}
}
