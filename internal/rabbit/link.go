package rabbit

import (
	"context"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A link is one connection that is dialled when needed and replaced when lost.
type link struct {
	cfg  Config
	name string

	mu     sync.Mutex // guards conn and closed; held while dialling, so that many callers dial once
	conn   *connection
	closed bool
}

// A connection is one life of a link.
type connection struct {
	amqp *amqp.Connection
	raw  net.Conn // beneath TLS
	gate *gate
}

func newLink(cfg Config, purpose string) *link {
	return &link{cfg: cfg, name: cfg.Name + " " + purpose}
}

// channel opens a channel on a live connection, dialling first if there is none.
func (l *link) channel() (*amqp.Channel, *connection, error) {
	conn, err := l.live()
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.amqp.Channel()
	if err != nil {
		return nil, nil, translate(err)
	}
	return ch, conn, nil
}

func (l *link) live() (*connection, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrLost
	}
	if l.conn != nil && !l.conn.amqp.IsClosed() {
		return l.conn, nil
	}
	c := &connection{gate: newGate()}
	conn, err := amqp.DialConfig(l.cfg.URL, amqp.Config{
		Heartbeat:       l.cfg.Heartbeat,
		TLSClientConfig: l.cfg.TLS,
		Properties:      amqp.Table{"connection_name": l.name, "product": "annal"},
		Dial: func(network, address string) (_ net.Conn, err error) {
			c.raw, err = l.dial(network, address)
			return c.raw, err
		},
	})
	if err != nil {
		return nil, translate(err)
	}
	c.amqp, l.conn = conn, c
	go l.conn.gate.follow(conn.NotifyBlocked(make(chan amqp.Blocking, 1))) // ends when the connection does
	return l.conn, nil
}

// dial bounds the handshake as the AMQP client expects (it clears the deadline afterwards) and every later write.
func (l *link) dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: l.cfg.DialTimeout}).DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(l.cfg.DialTimeout)); err != nil {
		return nil, err
	}
	return &boundedConn{Conn: conn, timeout: l.cfg.WriteTimeout}, nil
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn == nil || l.conn.amqp.IsClosed() {
		return
	}
	impatience := time.AfterFunc(time.Second, l.conn.abort)
	defer impatience.Stop()
	_ = l.conn.amqp.Close() // it ends either way
}

// abort ends the connection at once, without a goodbye that a sick peer might never answer.
func (c *connection) abort() {
	_ = c.raw.Close() // it ends either way
}

// boundedConn fails a write that hangs: a peer that neither reads nor resets would otherwise hold the publisher for ever.
type boundedConn struct {
	net.Conn
	timeout time.Duration
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// A gate is open unless the broker has blocked the connection (connection.blocked: memory or disk alarm).
type gate struct {
	mu   sync.Mutex    // guards open
	open chan struct{} // closed while publishing is allowed
}

func newGate() *gate {
	open := make(chan struct{})
	close(open)
	return &gate{open: open}
}

func (g *gate) follow(blockings <-chan amqp.Blocking) {
	for b := range blockings {
		g.set(b.Active)
	}
	g.set(false) // the connection ended: let waiters find out
}

func (g *gate) set(blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if blocked == g.blockedLocked() {
		return
	}
	if blocked {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
}

// REQUIRES: g.mu is held.
func (g *gate) blockedLocked() bool {
	select {
	case <-g.open:
		return false
	default:
		return true
	}
}

func (g *gate) blocked() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blockedLocked()
}

// wait returns when publishing is allowed, or with the context's error.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
