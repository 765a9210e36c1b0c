package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/config"
)

// A store that is not reached is told with host, port, the reason and the setting: by readiness, and by the log when the process looks for it.
func TestAStoreThatIsNotReachedIsToldWithItsReason(t *testing.T) {
	nobody := address(t)
	plain := strings.TrimSuffix(strings.TrimPrefix(servertest.Start(t), "esdb://"), "?tls=false")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	secured := servertest.StartSecured(t, servertest.Someone("annald", "writer"))
	_, host, _ := strings.Cut(secured.As("annald"), "@")
	host, _, _ = strings.Cut(host, "?")
	for name, x := range map[string]struct{ url, where, reason, code string }{
		"a wrong port":         {"esdb://annald:hunter2@" + nobody + "?tls=false", nobody, "connection refused", ""},
		"a name nobody knows":  {"esdb://annald:hunter2@store.invalid:2113?tls=false", "store.invalid:2113", "name ", ""},
		"TLS with a plain one": {"esdb://annald:hunter2@" + plain + "?tls=true", plain, "TLS handshake failed", ""},
		"one that is mute":     {"esdb://annald:hunter2@" + mute.Addr().String() + "?tls=false", mute.Addr().String(), "no ", ""},
		"a wrong password":     {secured.With("annald", "hunter2"), host, "credentials refused", "STORE_CREDENTIALS"},
	} {
		t.Run(name, func(t *testing.T) {
			text, logs := readiness(t, settings(t, "ANNAL_EVENTSTORE_URL="+x.url))
			line := lineOf(text, "[-]eventstore ")
			for _, part := range []string{x.where, x.reason, "ANNAL_EVENTSTORE_URL", x.code} {
				if !strings.Contains(line, part) {
					t.Errorf("readiness does not say %q: %s", part, text)
				}
			}
			if log := lineOf(logs, `event store is away`); x.code == "" && (!strings.Contains(log, x.where) || !strings.Contains(log, "ANNAL_EVENTSTORE_URL")) && name != "one that is mute" {
				t.Errorf("the log says %s", log)
			}
			if strings.Contains(text+logs, "hunter2") {
				t.Errorf("a password is told: %s\n%s", text, logs)
			}
		})
	}
}

// readiness is what a relay says of itself when it is asked once, and what it logged.
func readiness(t *testing.T, cfg config.Config) (text, logs string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var log transcript
	d, err := New(ctx, cfg, "relay", &log)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	_, text = get(t, "http://"+d.HTTPAddr()+"/readyz?verbose")
	stop()
	<-ended // with the store's fault, or in peace: it is not the matter here
	return text, log.String()
}

// lineOf is the first line of text that has part.
func lineOf(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}
