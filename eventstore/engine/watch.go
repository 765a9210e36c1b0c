package engine

import (
	"hash/maphash"
	"sync"
)

// A signal is a channel that is closed at the next change. Streams share a fixed number of signals by the hash of their name, so
// 10,000 idle subscriptions cost nothing while others are written, and memory doesn't grow with streams. A watcher may be
// woken for nothing; it reads and watches again.
const signalCount = 1024

type signal struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody watches
}

func (s *signal) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

type signals struct {
	seed   maphash.Seed
	all    signal
	stream [signalCount]signal
}

func (s *signals) of(stream string) *signal {
	return &s.stream[maphash.String(s.seed, stream)%signalCount]
}

func (s *signals) notify(streams []string) {
	if len(streams) == 0 {
		return
	}
	s.all.notify()
	for _, name := range streams {
		s.of(name).notify()
	}
}

// WatchAll returns a channel that is closed when an event becomes visible. Take it before reading: then nothing that the read did
// not show is missed.
func (db *DB) WatchAll() <-chan struct{} { return db.signals.all.watch() }

// WatchStream is WatchAll for one stream: appended to, deleted or recreated. It may be closed for nothing.
func (db *DB) WatchStream(stream string) <-chan struct{} { return db.signals.of(stream).watch() }
