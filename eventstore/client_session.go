package eventstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc"

	"github.com/annalhq/annal/internal/fault"
)

// A session is one healthy connection to the store: the official client, and beside it a connection of our own over
// which the store was found and BatchAppend runs.
//
// The official client has two traps (v4.2.0). It dies for good after a failed discovery, and whoever waits then to tell it
// something waits for ever, deaf to contexts: its state machine listens on an unbuffered channel that nobody reads any
// more. Closing it wakes those callers, by a panic: "send on closed channel". So (1) only a store that answered gets
// an official client, (2) the first call that finds the store away retires the session, which closes the client, and
// (3) every call into it runs under guard, which makes that panic the ErrUnavailable it means.
type session struct {
	owner    *Client
	official *esdb.Client
	direct   *grpc.ClientConn
	batch    *batch // nil: the store does not offer BatchAppend
	identity atomic.Pointer[StoreID]

	ctx    context.Context // ends when the session is retired, the cause says why
	cancel context.CancelCauseFunc
	once   sync.Once
}

// link is the state of connecting: at most one attempt at a time, for all callers.
type link struct {
	mu        sync.Mutex
	closed    bool
	attempt   *attempt  // the one under way, nil if none
	downSince time.Time // of the first failure since the last session
	retryAt   time.Time // until then calls are refused with lastErr
	lastErr   error
}

type attempt struct {
	done    chan struct{} // closed when session and err are set
	session *session
	err     error
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// session returns the current session, or waits for the next one as long as Patience and ctx allow.
func (c *Client) session(ctx context.Context) (*session, error) {
	if s := c.current.Load(); s != nil {
		return s, nil
	}
	a, err := c.joinAttempt()
	if err != nil {
		return nil, err
	}
	select {
	case <-a.done:
		return a.session, a.err
	case <-ctx.Done():
		return nil, contextFault(ctx)
	}
}

func (c *Client) joinAttempt() (*attempt, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	switch {
	case c.link.closed:
		return nil, ErrClosed
	case c.link.attempt != nil:
		return c.link.attempt, nil
	case time.Now().Before(c.link.retryAt):
		return nil, c.link.lastErr
	}
	a := &attempt{done: make(chan struct{})}
	if s := c.current.Load(); s != nil { // connected between the caller's look and the lock
		a.session = s
		close(a.done)
		return a, nil
	}
	c.link.attempt = a
	c.tasks.Go(func() { c.connectFor(a) })
	return a, nil
}

// connectFor tries to connect until it succeeds or the outage is older than Patience, and answers all who wait.
func (c *Client) connectFor(a *attempt) {
	pause := 20 * time.Millisecond
	for {
		s, err := c.connect(c.ctx)
		if c.settle(a, s, err) {
			return
		}
		select {
		case <-time.After(jitter(pause)):
		case <-c.ctx.Done():
		}
		pause = min(2*pause, 500*time.Millisecond)
	}
}

// settle records the outcome of one attempt; false means: try again.
func (c *Client) settle(a *attempt, s *session, err error) bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	switch {
	case c.link.closed:
		if s != nil {
			s.close(ErrClosed)
		}
		a.err = ErrClosed
	case err == nil:
		if !c.link.downSince.IsZero() {
			c.log.Info("event store is back", "away", time.Since(c.link.downSince).Round(time.Millisecond))
		}
		c.link.downSince, c.link.retryAt = time.Time{}, time.Time{}
		a.session = s
		c.current.Store(s)
	default:
		now := time.Now()
		if c.link.downSince.IsZero() {
			c.link.downSince = now
			c.log.Warn("event store is away", "error", err)
		}
		if now.Sub(c.link.downSince) < c.cfg.Patience {
			return false
		}
		a.err, c.link.lastErr = err, err
		c.link.retryAt = now.Add(jitter(500 * time.Millisecond))
	}
	c.link.attempt = nil
	close(a.done)
	return true
}

// connect finds the store and opens a session with it.
func (c *Client) connect(parent context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(parent, c.cfg.ConnectTimeout, ErrUnavailable)
	defer cancel()
	node, err := discover(ctx, c.target)
	if err != nil {
		return nil, err
	}
	target := node.target(c.target, c.cfg)
	official, err := esdb.NewClient(&target)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "STORE_URL_MALFORMED", "the event store's settings contradict each other")
	}
	s := &session{owner: c, official: official, direct: node.conn}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	if node.batchAppend && !c.cfg.PlainAppend {
		if s.batch, err = openBatch(s); err != nil {
			s.close(err)
			return nil, err
		}
	}
	return s, nil
}

// retire takes the session out of use because of err; later calls get a new one. Idempotent.
func (c *Client) retire(s *session, err error) {
	if c.current.CompareAndSwap(s, nil) && !isClosed(err) {
		c.log.Debug("event store session ended", "error", err)
	}
	s.close(err)
}

func (s *session) close(err error) {
	s.once.Do(func() {
		s.cancel(err)
		_ = s.official.Close() // returns nil always
		_ = s.direct.Close()   // an error here could only say that it is closed
	})
}

// guard runs one call into the official client, translates its error, and retires the session if the store is away.
func guard[T any](ctx context.Context, s *session, call func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicFault(p)
		}
		if err != nil && isUnavailable(err) {
			s.owner.retire(s, err)
		}
	}()
	result, err = call()
	if err != nil {
		err = s.fault(ctx, err)
	}
	return result, err
}

// panicFault makes a fault of a panic inside the official client: ErrUnavailable if it comes from the closing of a retired
// session; else the store sent what the client can't read.
func (s *session) panicFault(p any) error {
	if s.ctx.Err() != nil {
		return s.gone()
	}
	return fault.Newf(fault.Internal, "STORE_PROTOCOL", "the event store sent what its client can't read: %v", p)
}

// gone says why the session ended.
func (s *session) gone() error {
	if isClosed(context.Cause(s.ctx)) || s.owner.ctx.Err() != nil {
		return ErrClosed
	}
	return ErrUnavailable
}

// jitter returns a duration between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
