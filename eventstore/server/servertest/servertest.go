// Package servertest starts throw-away event stores for tests: an engine on the real disk, served on a free port of the loopback
// interface, so that a test meets its store as every program does, over the wire.
//
//	url := servertest.Start(t)                                // esdb://127.0.0.1:PORT?tls=false, gone when the test ends
//	store := servertest.StartAt(t, dir, "127.0.0.1:0")        // Stop and Restart at the same address and directory
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
	cancel context.CancelFunc
	ended  chan error
	db     *engine.DB
}

// StartAt starts a store with its data in dir, listening on addr. It ends with the test.
func StartAt(t testing.TB, dir, addr string) *Store {
	t.Helper()
	s := &Store{t: t, dir: dir, addr: addr}
	s.start()
	s.URL = "esdb://" + s.addr + "?tls=false"
	t.Cleanup(s.Stop)
	return s
}

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
	srv, err := server.New(db, server.Config{Grace: time.Second})
	if err != nil {
		s.t.Fatalf("event store: %v", err)
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("event store: listening: %v", err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.db, s.ended = cancel, db, make(chan error, 1)
	go func() { s.ended <- srv.Serve(ctx, l) }()
}
