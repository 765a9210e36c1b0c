package rabbit

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A link is one connection that is dialled when needed and replaced when lost.
//
// At most one dial is under way, for all who need the connection, and it is the link's own: it ends with DialTimeout or with the
// link. Whoever waits for it waits with a context of his own, so a probe that gives up neither holds anybody up nor takes the
// dial from the others. Nothing is locked while the network is waited for.
type link struct {
	cfg  Config
	name string

	ctx    context.Context // ends with close; bounds dials
	cancel context.CancelFunc
	tasks  sync.WaitGroup // dials, and calls whose callers may have left

	mu      sync.Mutex // guards what follows
	conn    *connection
	dialled *dialling // the one under way, nil if none
	closed  bool
	outage  outage
}

// A connection is one life of a link.
type connection struct {
	amqp *amqp.Connection
	raw  net.Conn // beneath TLS
	gate *gate
}

// A dialling is one attempt to connect.
type dialling struct {
	done  chan struct{} // closed when conn and err are set
	began time.Time
	conn  *connection
	err   error
}

func newLink(cfg Config, purpose string) *link {
	l := &link{cfg: cfg, name: cfg.Name + " " + purpose}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// channel opens a channel on a live connection, dialling first if there is none, and has prepare make it ready (nil: nothing
// to do). The AMQP client's calls know no context: when ctx ends before they do, they go on without the caller, until the broker
// answers or its heartbeats stop, and the channel is closed then. Errors: those of prepare, ErrLost when the link is closed,
// ErrUnavailable, ErrLogin, Timeout if ctx ended.
func (l *link) channel(ctx context.Context, prepare func(*amqp.Channel) error) (*amqp.Channel, *connection, error) {
	conn, err := l.live(ctx)
	if err != nil {
		return nil, nil, err
	}
	type opening struct {
		channel *amqp.Channel
		err     error
	}
	opened := make(chan opening) // without room: what nobody takes is closed
	if !l.begin(func() {
		ch, err := conn.prepared(prepare)
		select {
		case opened <- opening{ch, err}:
		case <-ctx.Done():
			if ch != nil {
				_ = ch.Close() // it may be gone already
			}
		}
	}) {
		return nil, nil, ErrLost
	}
	select {
	case o := <-opened:
		return o.channel, conn, o.err
	case <-ctx.Done():
		return nil, nil, translate(ctx.Err())
	}
}

// prepared returns a channel that prepare agreed to, or an error and none.
func (c *connection) prepared(prepare func(*amqp.Channel) error) (*amqp.Channel, error) {
	ch, err := c.amqp.Channel()
	if err != nil {
		return nil, translate(err)
	}
	if prepare == nil {
		return ch, nil
	}
	if err := prepare(ch); err != nil {
		_ = ch.Close() // a refused declaration has closed it already
		return nil, translate(err)
	}
	return ch, nil
}

// live returns the connection, or waits for the dial that makes one as long as ctx allows.
func (l *link) live(ctx context.Context) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, translate(err)
	}
	d := l.join()
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, translate(ctx.Err())
	}
}

// join returns the dial under way, a new one, or one that is over because there is a connection or never will be.
func (l *link) join() *dialling {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &dialling{done: make(chan struct{})}
	switch {
	case l.closed:
		d.err = ErrLost
	case l.conn != nil && !l.conn.amqp.IsClosed():
		d.conn = l.conn
	case l.dialled != nil:
		return l.dialled
	default:
		d.began = time.Now()
		l.dialled = d
		l.tasks.Go(func() { l.dialFor(d) })
		return d
	}
	close(d.done)
	return d
}

// dialFor dials once and answers all who wait for it.
func (l *link) dialFor(d *dialling) {
	conn, err := l.connect()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed && err == nil:
		conn.abort()
		d.err = ErrLost
	case l.closed:
		d.err = ErrLost // the dial's error is but the echo of closing
	case err != nil:
		d.err = l.outage.failed(d.began, l.address(), err)
	default:
		l.conn, d.conn, l.outage = conn, conn, outage{}
		blockings, ended := conn.amqp.NotifyBlocked(make(chan amqp.Blocking, 1)), conn.amqp.NotifyClose(make(chan *amqp.Error, 1))
		go func() { // ends when the connection does
			conn.gate.follow(blockings)
			l.lost(conn, <-ended)
		}()
	}
	l.dialled = nil
	close(d.done)
}

func (l *link) connect() (*connection, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.DialTimeout)
	defer cancel()
	c := &connection{gate: newGate()}
	stop := func() bool { return true }
	conn, err := amqp.DialConfig(l.cfg.URL, amqp.Config{
		Heartbeat:       l.cfg.Heartbeat,
		TLSClientConfig: l.cfg.TLS,
		Properties:      amqp.Table{"connection_name": l.name, "product": "annal"},
		Dial: func(network, address string) (_ net.Conn, err error) {
			if c.raw, err = l.dial(ctx, network, address); err != nil {
				return nil, err
			}
			stop = context.AfterFunc(l.ctx, c.abort) // the handshake hears of no context, and of its deadline by the socket
			return c.raw, nil
		},
	})
	stop()
	if err != nil {
		if c.raw != nil {
			c.abort() // the AMQP client leaves the socket open after a handshake that failed
		}
		return nil, err
	}
	c.amqp = conn
	return c, nil
}

// dial bounds the handshake as the AMQP client expects (it clears the deadline afterwards) and every later write.
func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &boundedConn{Conn: conn, timeout: l.cfg.WriteTimeout}, nil
}

// begin runs task beside its caller; false when the link is closed.
func (l *link) begin(task func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.tasks.Go(task)
	}
	return !l.closed
}

// close ends the connection, or the dial that would make one. wait comes after it.
func (l *link) close() {
	l.mu.Lock()
	conn := l.conn
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	if conn == nil || conn.amqp.IsClosed() {
		return
	}
	impatience := time.AfterFunc(time.Second, conn.abort)
	defer impatience.Stop()
	_ = conn.amqp.Close() // it ends either way
}

// wait returns when nothing of the link runs any more. REQUIRES: every link of the broker is closed, since declarations of one
// may wait for those of another.
func (l *link) wait() { l.tasks.Wait() }

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
