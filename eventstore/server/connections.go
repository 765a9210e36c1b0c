package server

import (
	"container/list"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// bounded is a listener with a bound on its connections. When there are too many it hangs up on the oldest one that nobody has logged in
// over, so that strangers can't keep users out by holding connections; if there is none, on the newest, so that those there are go
// on undisturbed.
type bounded struct {
	net.Listener
	log   *slog.Logger
	limit int
	open  bool      // nobody logs in: all are users
	last  time.Time // of the last complaint; Accept's alone

	mu        sync.Mutex
	count     int
	strangers list.List // of *counted, the oldest first
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, victim := b.admit(c)
		if victim != nil {
			_ = victim.Close() // what it has open ends with it
			if time.Since(b.last) > complainEvery {
				b.last = time.Now()
				b.log.Warn("event store: too many connections, some are hung up on", "limit", b.limit, "from", victim.RemoteAddr().String())
			}
		}
		if admitted != nil {
			return admitted, nil
		}
	}
}

// admit returns c as a connection that is counted, and one to hang up on if there are too many: c itself, or a stranger's.
func (b *bounded) admit(c net.Conn) (admitted *counted, victim net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= b.limit {
		oldest := b.strangers.Front()
		if oldest == nil {
			return nil, c
		}
		stranger := oldest.Value.(*counted) //nolint:forcetypeassert // the list holds nothing else
		b.forget(stranger)
		victim = stranger.Conn
	}
	admitted = &counted{Conn: c, of: b}
	b.count++
	if !b.open {
		admitted.place = b.strangers.PushBack(admitted)
	}
	return admitted, victim
}

// forget is called with mu held, at least once for each connection.
func (b *bounded) forget(c *counted) {
	if !c.gone {
		c.gone = true
		b.count--
		b.unlist(c)
	}
}

// unlist is called with mu held.
func (b *bounded) unlist(c *counted) {
	if c.place != nil {
		b.strangers.Remove(c.place)
		c.place = nil
	}
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	of    *bounded
	known atomic.Bool   // somebody has logged in
	place *list.Element // among the strangers; guarded by of.mu
	gone  bool          // likewise
}

// loggedIn keeps the connection from being hung up on for others.
func (c *counted) loggedIn() {
	if c.known.Load() || c.known.Swap(true) {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.unlist(c)
}

func (c *counted) Close() error {
	c.of.mu.Lock()
	c.of.forget(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// introducing tells calls which connection they came over: with what TLS says of it.
type introducing struct {
	credentials.TransportCredentials
}

// visitor is what a call knows of its connection.
type visitor struct {
	credentials.AuthInfo
	conn *counted
}

func (i introducing) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := i.TransportCredentials.ServerHandshake(raw)
	if c, ok := raw.(*counted); ok && err == nil {
		info = visitor{info, c}
	}
	return conn, info, err
}

func (i introducing) Clone() credentials.TransportCredentials {
	return introducing{i.TransportCredentials.Clone()}
}
