package server

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/internal/fault"
)

// A gate is what every call passes first: it says who calls, whether that may be called (rules.go), and counts the calls.
//
//	too many calls -------------------------------> RESOURCE_EXHAUSTED
//	credentials that are wrong, whatever is called -> UNAUTHENTICATED
//	a right that is missing, also for want of a name -> PERMISSION_DENIED, access-denied
//
// When a user is changed or removed what it has open ends with UNAUTHENTICATED: a read after its page, a subscription that waits and a
// stream of appends at once, an append with its next message. What is being written is answered as it is, if it still can be.
//
// Every call passes it as a stream (single.go), before its first message is read.
type gate struct {
	users *access.Users // nil: no TLS, so no credentials; everybody may do everything
	log   *slog.Logger
	max   int64
	calls atomic.Int64 // in progress, the open ones aside
	doors atomic.Int64 // calls whose password is being checked, bounded as the others are
	held  atomic.Int64 // refused appends that are kept waiting (early.go)
	// served are the calls that have a handler, and not just the one that answers for services that aren't there.
	served map[string]bool
	no     complaints
}

func (g *gate) secure() bool { return g.users != nil }

type principalKey struct{}

// caller is who the call comes from. Whoever did not pass the gate is nobody.
func (g *gate) caller(ctx context.Context) access.Principal {
	if !g.secure() {
		return access.Everyone()
	}
	if p, ok := ctx.Value(principalKey{}).(access.Principal); ok {
		return p
	}
	return access.Anonymous()
}

func (g *gate) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	who, leave, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		g.hold(ss.Context(), info.FullMethod)
		return err
	}
	defer leave()
	if !g.secure() {
		return handler(srv, ss)
	}
	began := context.WithValue(ss.Context(), principalKey{}, who)
	ctx, cancel := context.WithCancelCause(began)
	defer cancel(nil)
	defer context.AfterFunc(who.Valid(), func() { cancel(access.ErrRevoked) })()
	err = handler(srv, &watched{ServerStream: ss, ctx: ctx, began: began, user: who.Valid()})
	// Of an append any end but cancellation says more: what became of it.
	if gone := revoked(ctx); gone != nil && err != nil && (status.Code(err) == codes.Canceled || rules[info.FullMethod] == access.Read) {
		return gone
	}
	return err
}

// admit returns who calls, and what to do when the call has ended; or why it may not begin. Who has not been let in takes no place of
// those who were.
func (g *gate) admit(ctx context.Context, method string) (who access.Principal, leave func(), err error) {
	if who, err = g.identify(ctx); err == nil {
		err = g.allow(ctx, who, method)
	}
	if err != nil {
		return who, nil, err
	}
	if isOpen(method) {
		return who, func() {}, nil
	}
	leave, err = g.enter(&g.calls)
	return who, leave, err
}

// enter takes a place among those that n counts.
func (g *gate) enter(n *atomic.Int64) (leave func(), err error) {
	if n.Add(1) > g.max {
		n.Add(-1)
		return nil, status.Error(codes.ResourceExhausted, "Server Is Too Busy: too many calls are in progress")
	}
	return func() { n.Add(-1) }, nil
}

func (g *gate) allow(ctx context.Context, who access.Principal, method string) error {
	need, known := rules[method]
	switch {
	case !g.secure(), known && who.May(need):
		return nil
	case !known && who.Name != "" && !g.served[method]:
		return nil // it will be told that there is no such service
	case who.Name == "":
		g.no.say(ctx, g.log, "a call without credentials was refused", "call", method)
		return refuseAccess(ctx, "give a user and a password")
	}
	g.no.say(ctx, g.log, "a user lacks a right", "call", method, "user", who.Name)
	return refuseAccess(ctx, "the user "+who.Name+" may not call "+method[strings.LastIndex(method, "/")+1:])
}

// identify returns who gave the credentials of the call. It looks at them only where there are users: without TLS clients send none.
func (g *gate) identify(ctx context.Context) (access.Principal, error) {
	if !g.secure() {
		return access.Everyone(), nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	headers := md.Get("authorization")
	if len(headers) == 0 {
		return access.Anonymous(), nil
	}
	name, password, ok := basic(headers)
	if !ok {
		return access.Principal{}, status.Error(codes.Unauthenticated, "the credentials must be one header authorization: Basic base64(user:password)")
	}
	who, known := g.users.Known(name, password)
	var err error
	if !known {
		leave, full := g.enter(&g.doors)
		if full != nil {
			return who, full
		}
		defer leave()
		who, err = g.users.Check(ctx, name, password, network(ctx))
	}
	switch {
	case err == nil:
		welcome(ctx)
		return who, nil
	case errors.Is(err, access.ErrBusy):
		return who, status.Error(codes.ResourceExhausted, "Server Is Too Busy: "+fault.MessageOf(err))
	case errors.Is(err, access.ErrCredentials):
		g.no.say(ctx, g.log, "wrong credentials were refused") // not the name: people type passwords there
		return who, status.Error(codes.Unauthenticated, fault.MessageOf(err))
	}
	return who, status.FromContextError(err).Err()
}

func basic(headers []string) (name, password string, ok bool) {
	scheme, encoded, found := strings.Cut(headers[0], " ")
	if !found || len(headers) > 1 || !strings.EqualFold(scheme, "basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(raw), ":")
}

func host(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	h, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return h
}

// network is what a caller has one address of, and can't easily have many: the address in IPv4, the first half of it in IPv6.
func network(ctx context.Context) string {
	h := host(ctx)
	if ip, err := netip.ParseAddr(h); err == nil && ip.Is6() && !ip.Is4In6() {
		if whole, err := ip.WithZone("").Prefix(64); err == nil {
			return whole.String()
		}
	}
	return h
}

// welcome tells the connection of the call that its caller is known.
func welcome(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		if v, ok := p.AuthInfo.(visitor); ok {
			v.conn.loggedIn()
		}
	}
}

// revoked returns how a call ends whose user is no more, nil if that is not why it ends.
func revoked(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), access.ErrRevoked) {
		return errGone()
	}
	return nil
}

func errGone() error { return status.Error(codes.Unauthenticated, access.ErrRevoked.Message) }

// watched is a stream whose caller is looked at with each message that comes.
type watched struct {
	grpc.ServerStream
	ctx   context.Context // of the call, ends also when the caller must not go on
	began context.Context // of the call, ends with it alone
	user  context.Context // of the caller, ends when it must not go on; ctx ends a moment later
}

func (w *watched) Context() context.Context { return w.ctx }

func (w *watched) RecvMsg(m any) error {
	err := w.ServerStream.RecvMsg(m)
	if w.user.Err() != nil {
		return errGone()
	}
	return err
}

// complaints of a kind are logged at most once in a while: who can cause them could fill the disk. One kind hides no other.
type complaints struct {
	mu   sync.Mutex
	said map[string]*complaint // by what is said: the kinds that this file has
}

type complaint struct {
	last   time.Time
	silent int
}

const (
	complainEvery = 10 * time.Second
	maxComplaint  = 200 // bytes of what a caller sent
)

func (c *complaints) say(ctx context.Context, log *slog.Logger, what string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := c.said[what]
	switch {
	case kind == nil:
		if c.said == nil {
			c.said = map[string]*complaint{}
		}
		kind = &complaint{}
		c.said[what] = kind
	case time.Since(kind.last) < complainEvery:
		kind.silent++
		return
	}
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = text[:min(len(text), maxComplaint)]
		}
	}
	log.WarnContext(ctx, "event store: "+what, append(args, "from", host(ctx), "unsaid before", kind.silent)...)
	kind.last, kind.silent = time.Now(), 0
}
