// Package run starts a process's long-lived parts and drains them in order. It is the only place that does.
//
//	            start ->                       <- drain
//	store, relay, projectors, sagas, notary, HTTP
//
// Parts are given in the order of dependence: what others need comes first, and is drained last. Each part is one
// blocking function under a context of its own. The group ends when its context ends (a signal) or when any part ends by
// itself, which is always a fault: half a daemon is worse than none, and the supervisor restarts it whole.
//
// Draining: the group is marked as not ready, then the last part's context is cancelled, its function awaited, then the
// one before it, to the first. Part n+1 has thus ended before part n is told, so nothing loses what it stands on while
// it finishes. All parts share one deadline; past it the rest is cancelled at once and who has not ended is named.
//
// Faults: PART_ENDED (internal, unless the part's own error has a kind), DRAIN_TIMEOUT (timeout).
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// A Part is one long-lived piece of a process.
type Part struct {
	Name string
	// Run blocks until ctx ends, finishes what it began and returns nil; or returns earlier with the reason.
	Run func(ctx context.Context) error
}

// Config bounds a group. The zero value is fit for use.
type Config struct {
	DrainTimeout time.Duration // for all parts together; default 20 s
	Draining     func()        // called once before the first part is told, to turn /readyz; may be nil
	Log          *slog.Logger  // default slog.Default()
}

// ended is what a part's goroutine reports.
type ended struct {
	index int
	err   error
}

type running struct {
	Part
	cancel context.CancelFunc
	done   bool
}

// All runs parts until ctx ends or one of them does, drains, and returns nil if every part ended as it was told to.
func All(ctx context.Context, parts []Part, cfg Config) error {
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 20 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	g := &group{cfg: cfg, reports: make(chan ended, len(parts))}
	for _, p := range parts {
		g.start(ctx, p)
	}
	return g.await(ctx)
}

type group struct {
	cfg     Config
	parts   []*running
	reports chan ended
}

// start gives the part a context that keeps the values of ctx but not its end: draining has an order.
func (g *group) start(ctx context.Context, p Part) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	index := len(g.parts)
	g.parts = append(g.parts, &running{Part: p, cancel: cancel})
	go func() { g.reports <- ended{index, p.Run(own)} }()
}

func (g *group) await(ctx context.Context) error {
	var why error
	select {
	case <-ctx.Done():
		g.cfg.Log.InfoContext(ctx, "draining", "parts", len(g.parts))
	case r := <-g.reports:
		why = g.untimely(r)
		g.cfg.Log.ErrorContext(ctx, "a part ended by itself; draining the others", "part", g.parts[r.index].Name, "error", why)
	}
	if g.cfg.Draining != nil {
		g.cfg.Draining()
	}
	return errors.Join(why, g.drain())
}

func (g *group) untimely(r ended) error {
	p := g.parts[r.index]
	p.done = true
	if r.err == nil {
		return fault.Newf(fault.Internal, "PART_ENDED", "%s ended by itself", p.Name)
	}
	return fmt.Errorf("%s: %w", p.Name, r.err)
}

func (g *group) drain() error {
	deadline := time.NewTimer(g.cfg.DrainTimeout)
	defer deadline.Stop()
	var errs []error
	for i := len(g.parts) - 1; i >= 0; i-- {
		g.parts[i].cancel()
		for !g.parts[i].done {
			select {
			case r := <-g.reports:
				errs = append(errs, g.timely(r))
			case <-deadline.C:
				return errors.Join(append(errs, g.abandon())...)
			}
		}
	}
	return errors.Join(errs...)
}

// timely takes the report of a part that was told to end, or that failed while others drained.
func (g *group) timely(r ended) error {
	p := g.parts[r.index]
	p.done = true
	if r.err == nil || errors.Is(r.err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("draining %s: %w", p.Name, r.err)
}

// abandon cancels everything and leaves: the process is about to end, and what was acknowledged is durable already.
func (g *group) abandon() error {
	var left []string
	for _, p := range g.parts {
		p.cancel()
		if !p.done {
			left = append(left, p.Name)
		}
	}
	return fault.Newf(fault.Timeout, "DRAIN_TIMEOUT", "not drained within %v: %s", g.cfg.DrainTimeout, strings.Join(left, ", "))
}
