// Package servertest starts throw-away event stores for tests: an engine on the real disk, served on a free port of the loopback
// interface, so that a test meets its store as every program does, over the wire.
//
//	url := servertest.Start(t)                                // esdb://127.0.0.1:PORT?tls=false, gone when the test ends
//	store := servertest.StartAt(t, dir, "127.0.0.1:0")        // Stop and Restart at the same address and directory
//	store := servertest.StartWith(t, server.Config{...})      // with settings of its own
//	store := servertest.StartSecured(t, servertest.Someone("shop", "writer"))
//	url := store.As("shop")                                   // TLS, and the user's password
package servertest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

// Start starts an empty store in a temporary directory, and returns its connection string. It ends with the test.
func Start(t testing.TB) (url string) {
	t.Helper()
	return StartAt(t, t.TempDir(), "127.0.0.1:0").URL
}

// Store is a running store that can be stopped and started again.
type Store struct {
	URL string // connection string; stays the same over restarts

	t      testing.TB
	dir    string
	addr   string
	cfg    server.Config
	cancel context.CancelFunc
	ended  chan error
	db     *engine.DB
	srv    *server.Server
}

// StartAt starts a store with its data in dir, listening on addr. It ends with the test.
func StartAt(t testing.TB, dir, addr string) *Store {
	t.Helper()
	return start(t, dir, addr, server.Config{})
}

// StartWith starts an empty store with these settings. It ends with the test.
func StartWith(t testing.TB, cfg server.Config) *Store {
	t.Helper()
	return start(t, t.TempDir(), "127.0.0.1:0", cfg)
}

func start(t testing.TB, dir, addr string, cfg server.Config) *Store {
	t.Helper()
	if cfg.Grace == 0 {
		cfg.Grace = time.Second
	}
	s := &Store{t: t, dir: dir, addr: addr, cfg: cfg}
	s.start()
	s.URL = "esdb://" + s.addr + "?tls=false"
	t.Cleanup(s.Stop)
	return s
}

// Server returns what serves now, for what a test asks of it alone.
func (s *Store) Server() *server.Server { return s.srv }

// Addr returns the address that the store listens on.
func (s *Store) Addr() string { return s.addr }

// Restart stops the store if it runs, and starts it with the same data at the same address.
func (s *Store) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Stop ends the store as a signal would: subscriptions end with UNAVAILABLE, then the files are closed. Stopping twice is fine.
func (s *Store) Stop() {
	s.t.Helper()
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	if err := <-s.ended; err != nil {
		s.t.Errorf("event store: serving: %v", err)
	}
	if err := s.db.Close(); err != nil {
		s.t.Errorf("event store: closing: %v", err)
	}
}

func (s *Store) start() {
	s.t.Helper()
	db, err := engine.Open(s.dir, engine.Config{})
	if err != nil {
		s.t.Fatalf("event store: opening: %v", err)
	}
	srv, err := server.New(db, s.cfg)
	if err != nil {
		s.t.Fatalf("event store: %v", err)
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("event store: listening: %v", err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.db, s.srv, s.ended = cancel, db, srv, make(chan error, 1)
	go func() { s.ended <- srv.Serve(ctx, l) }()
}
