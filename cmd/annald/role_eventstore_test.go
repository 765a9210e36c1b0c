package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
)

// secured are settings of a daemon whose store has TLS and users; the files are those of a store of the tests.
func secured(t *testing.T, as string) config.Config {
	t.Helper()
	files := servertest.StartSecured(t, servertest.Someone("annald", "writer"), servertest.Someone("audit", "reader"))
	u, err := url.Parse(files.As(as))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = "127.0.0.1:0"
	return settings(t, "ANNAL_EVENTSTORE_TLS_CERT="+files.CertFile, "ANNAL_EVENTSTORE_TLS_KEY="+files.KeyFile,
		"ANNAL_EVENTSTORE_USERS_FILE="+files.UsersFile, "ANNAL_EVENTSTORE_URL="+u.String())
}

// A whole daemon whose store has TLS and users is one of its users: it is ready, which its relay and projector are only when they read.
func TestADaemonWorksWithAStoreThatHasUsers(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	d, err := New(ctx, secured(t, "annald"), "all", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for {
		code, text := get(t, "http://"+d.HTTPAddr()+"/readyz?verbose")
		if code == http.StatusOK && strings.Contains(text, "[+]eventstore ok") {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(text)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatIsNotSafeOrNotOursDoesNotStart(t *testing.T) {
	foreign, damaged := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{foreign + "/thesis.doc": "x", damaged + "/ANNAL-EVENTSTORE": "annal event store, format banana"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	anonymous := secured(t, "annald")
	anonymous.EventStoreURL = ""
	broken := secured(t, "annald")
	broken.EventStoreUsers = filepath.Join(t.TempDir(), "none")
	wide := settings(t)
	wide.EventStoreListen = "0.0.0.0:0"
	for _, x := range []struct {
		cfg         config.Config
		roles, code string
	}{
		{wide, "eventstore", "STORE_EXPOSED"},
		{broken, "eventstore", "STORE_USERS_UNREADABLE"},
		{anonymous, "eventstore,relay", "SETTING_INVALID"},
		{settings(t, "ANNAL_EVENTSTORE_DIR="+foreign), "eventstore", "STORE_FOREIGN_DIRECTORY"},
		{settings(t, "ANNAL_EVENTSTORE_DIR="+damaged), "eventstore", "STORE_CORRUPT"},
	} {
		d, err := New(t.Context(), x.cfg, x.roles, io.Discard)
		if fault.CodeOf(err) != x.code {
			t.Errorf("want %s, got %v", x.code, err)
		}
		if err == nil {
			_ = d.close(t.Context())
		}
	}
}
