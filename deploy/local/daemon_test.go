package main

import (
	"context"
	"net"
	"os"
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
	told := said(t, func() { end = h.locked(t.Context(), func(context.Context) error { return h.explainEnd(ran) }) })
	if end != nil || told != "stopped\n" {
		t.Fatalf("%q, %v", told, end)
	}
}

func TestADaemonThatDiedIsToldWithItsOwnLog(t *testing.T) {
	h := homeAt(t, t.TempDir())
	h.state.Daemon = process{PID: 1, Started: "long ago"}
	put(t, h.path("annald.log"), "yesterday's trouble\n")
	h.logFrom = int64(len("yesterday's trouble\n"))
	if err := h.explainEnd(h.state.Daemon); err == nil || strings.Contains(err.Error(), "yesterday") || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("it wrote nothing: %v", err)
	}
	put(t, h.path("annald.log"), "yesterday's trouble\ntoday's trouble\n")
	if err := h.explainEnd(h.state.Daemon); err == nil || strings.Contains(err.Error(), "yesterday") || !strings.Contains(err.Error(), "today's trouble") {
		t.Errorf("it wrote a line: %v", err)
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
	t.Setenv("ANNAL_BANANA", "yes")
	if err := background(t.Context(), h); err == nil || !strings.Contains(err.Error(), "ANNAL_BANANA") || exists(h.path("data")) {
		t.Errorf("an unknown setting, servers started %v: %v", exists(h.path("data")), err)
	}
}
