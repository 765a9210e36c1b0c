package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/reach"
)

// A session is one healthy connection to the store: the official client, and beside it a connection of our own over
// which the store was found and BatchAppend runs.
//
// The official client (v4.2.0) looks for the store anew as soon as a call found it away. If it does not find it at once it dies
// for good, and whoever wants something of it then waits for ever, deaf to contexts: its state machine listens on an unbuffered
// channel that nobody reads any more. So it never gets to look:
//
//   - only a store that answered gets an official client, which is connected before the session is used;
//   - a call that finds the store away is stopped where it reports so, before it tells the state machine (see lost);
//   - that call retires the session: no other enters it, those under way are cancelled, and when none is left inside
//     (gate) the official client is closed. The next call opens a new session.
//
// What is left to chance: a store that answers "not leader", which only calls that require the leader get, and those the
// official client never makes.
type session struct {
	owner    *Client
	official *esdb.Client
	direct   *grpc.ClientConn
	address  string // of the member
	batches  bool   // the store offers BatchAppend, and it is wanted
	identity atomic.Pointer[StoreID]

	ctx    context.Context // ends when the session is retired, the cause says why
	cancel context.CancelCauseFunc

	appending sync.Mutex // guards batch
	batch     *batch     // nil until the first append

	gate sync.RWMutex // held for reading by calls that may talk to the official client's state machine
}

// link is the state of connecting: at most one attempt at a time, for all callers.
type link struct {
	mu        sync.Mutex
	closed    bool
	attempt   *attempt  // the one under way, nil if none
	downSince time.Time // of the first failure since the last session
	retryAt   time.Time // until then calls are refused with lastErr
	lastErr   error     // what the newest attempt met, nil since there is a session
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
		return nil, c.notYet(ctx)
	}
}

// notYet is the fault of a caller whose time is over before the store was found. Its cause says what the attempts so far met.
func (c *Client) notYet(ctx context.Context) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	met := (*reach.Error)(nil)
	if !errors.As(c.link.lastErr, &met) {
		met = reach.New(c.target.Address, setting, "no answer yet", nil)
		if len(c.target.GossipSeeds) > 0 {
			met.Address = c.target.GossipSeeds[0].String()
		}
	}
	return fmt.Errorf("%w: %w", contextFault(ctx), met)
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
			s.cancel(ErrClosed)
		}
		a.err = ErrClosed
	case err == nil:
		if !c.link.downSince.IsZero() {
			c.log.Info("event store is back", "away", time.Since(c.link.downSince).Round(time.Millisecond))
		}
		c.link.downSince, c.link.retryAt, c.link.lastErr = time.Time{}, time.Time{}, nil
		a.session = s
		c.current.Store(s)
	default:
		now := time.Now()
		if c.link.downSince.IsZero() {
			c.link.downSince = now
			c.log.Warn("event store is away", "error", err)
		}
		c.link.lastErr = err
		if now.Sub(c.link.downSince) < c.cfg.Patience && !errors.Is(err, ErrCredentials) { // it is there, and waiting changes no password
			return false
		}
		a.err = err
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
		_ = node.conn.Close() // nothing was written over it
		return nil, fault.Wrap(err, fault.Invalid, "STORE_URL_MALFORMED", "the event store's settings contradict each other")
	}
	s := &session{owner: c, official: official, direct: node.conn, address: node.address}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	c.tasks.Go(s.closeWhenRetired)
	if err := s.open(node); err != nil {
		s.cancel(err)
		return nil, err
	}
	return s, nil
}

// open connects the official client, which only its first call does.
func (s *session) open(found node) error {
	s.batches = found.batchAppend && !s.owner.cfg.PlainAppend
	_, err := guardEntry(s.ctx, s, func() (*esdb.ServerVersion, error) { return s.official.GetServerVersion() })
	return err
}

func (s *session) closeWhenRetired() {
	<-s.ctx.Done()
	_ = s.direct.Close() // an error here could only say that it is closed
	s.gate.Lock()
	defer s.gate.Unlock()
	_ = s.official.Close() // returns nil always
}

// retire takes the session out of use because of err; later calls get a new one. Idempotent.
func (c *Client) retire(s *session, err error) {
	if c.current.CompareAndSwap(s, nil) && !isClosed(err) {
		c.log.Debug("event store session ended", "error", err)
	}
	s.cancel(err)
}

// bind returns a context that ends with parent and with the session.
func (s *session) bind(parent context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(s.ctx, func() { cancel(s.gone()) })
	return ctx, func(cause error) { stop(); cancel(cause) }
}

// guardEntry runs a call that begins with the official client's state machine: whatever is no Recv.
// REQUIRES: the call ends with ctx or soon, and ctx ends with the session.
func guardEntry[T any](ctx context.Context, s *session, call func() (T, error)) (none T, err error) {
	if s.ctx.Err() != nil {
		return none, s.gone()
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.ctx.Err() != nil {
		return none, s.gone()
	}
	return guard(ctx, s, call)
}

// guard runs one call into the official client, translates its error, and retires the session if the store is away.
func guard[T any](ctx context.Context, s *session, call func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicFault(ctx, p)
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

// lost is thrown out of the official client by its own logger (stopWhenAway) and caught by guard.
type lost struct{ error }

// stopWhenAway is the official client's logger. It keeps quiet; but the client logs that a call found the store away right
// before it tells its state machine so, and there the call is stopped. TestTheOfficialClientNeverLooksForTheStore pins it.
func stopWhenAway(_ esdb.LogLevel, format string, args ...any) {
	if format != "unexpected exception: %v" || len(args) != 1 {
		return
	}
	if err, ok := args[0].(error); ok && status.Code(err) == codes.Unavailable {
		panic(lost{err}) //nolint:forbidigo // caught by panicFault: the only way out of the official client before it dies for good (docs/adr)
	}
}

// panicFault makes a fault of a panic inside the official client: the store is away, or it sent what the client can't
// read ("unreachable code").
func (s *session) panicFault(ctx context.Context, p any) error {
	if l, ok := p.(lost); ok {
		return s.fault(ctx, l.error)
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
