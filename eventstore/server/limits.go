package server

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A budget bounds the memory that appends hold together, from their first event until they are answered. Who finds nothing left is
// refused, not kept waiting: those who hold it may wait for somebody else.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// bounded is a listener that hangs up on connections beyond a number: those there are go on undisturbed.
type bounded struct {
	net.Listener
	log   *slog.Logger
	limit int64
	open  atomic.Int64
	last  time.Time // of the last complaint; Accept's alone
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= b.limit {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		b.open.Add(-1)
		_ = c.Close() // nothing was written
		if time.Since(b.last) > complainEvery {
			b.last = time.Now()
			b.log.Warn("event store: too many connections, the newest are hung up on", "limit", b.limit, "from", c.RemoteAddr().String())
		}
	}
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
