// Package feed gives a consumer every event of its categories once and in order, although the broker may lose, double
// and reorder. It is written once, for projections, sagas and whoever else folds events.
//
// The invariant (13). A consumer has a set S of whole categories and a position L: everything in S at or below L has been
// applied, nothing above it. L is a proven prefix, not the largest position seen: after two deaths of consumers a quorum
// queue hands out 4 5 6 7 8 1 2 3, and a maximum would skip 1 2 3 for ever. What proves the prefix is `after`, which each message
// carries: for every category the position of its last event before this one. With need = the largest of those of S:
//
//	position <= L                 duplicate: acknowledge
//	need <= L                     next: apply, L = position. A watermark moves L alone
//	need >  L                     gap: heal, that is read the store from L to the message's position and apply that
//	gap larger than HealLimit     cancel the queue's consumer, catch up from the store in bulk, consume again
//
// The rows and the checkpoint (S, L, id of the last event, store) are written by the Sink in one transaction that compares the old
// L, so an event is applied exactly once whoever else runs; the acknowledgement follows the commit. A message may therefore be lost, purged,
// wiped with its broker or delivered to nobody: the store has it. Sources, in the order in which they are tried:
//
//	catch up (store, to its head) ──> live (queue, single active consumer) ──broker away──> follow (store, subscription)
//	        ^                              │ large gap, or silence                              │ broker back
//	        └──────────────────────────────┴────────────────────────────────────────────────────┘
//
// Failures: Apply is tried again in place, with backoff, for ever; an ordered consumer sends nothing to delay queues. If the checkpoint
// was moved by somebody else (ErrCheckpointMoved) it is loaded again. A checkpoint of another store, of other categories, or of a history
// that the store doesn't have ends Run with a fault: somebody must decide.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

// Config says what is consumed. Name, Queue and Categories are required (Queue not if Standalone).
type Config struct {
	Name       string                // in logs and metrics
	Queue      string                // the consumer group's own queue
	Categories []eventstore.Category // S; fixed for the life of a checkpoint
	Standalone bool                  // follow the store alone, without a broker

	Prefetch   int           // deliveries not acknowledged; default 2000
	MaxBatch   int           // events of one Apply at most; default 500
	MaxDelay   time.Duration // an event waits at most this long for others; default 2 ms
	HealLimit  int           // events that are healed while the queue waits; more is a catch-up; default 10,000
	Silence    time.Duration // without any delivery for so long the store is asked; default 5 s
	MinBackoff time.Duration // first wait after a failure; default 20 ms
	MaxBackoff time.Duration // longest; default 5 s

	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: slog.Default()

	// tap stands between broker and feed in tests: it doubles, drops and reorders.
	tap func(context.Context, <-chan rabbit.Delivery) <-chan rabbit.Delivery
}

func (c Config) withDefaults() Config {
	for _, n := range []struct {
		value *int
		unset int
	}{{&c.Prefetch, 2000}, {&c.MaxBatch, 500}, {&c.HealLimit, 10_000}} {
		if *n.value <= 0 {
			*n.value = n.unset
		}
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&c.MaxDelay, 2 * time.Millisecond}, {&c.Silence, 5 * time.Second}, {&c.MinBackoff, 20 * time.Millisecond}, {&c.MaxBackoff, 5 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Categories = slices.Sorted(slices.Values(c.Categories))
	return c
}

// Validate checks what New would refuse. Fault: FEED_CONFIG_INVALID.
func (c Config) Validate() error {
	if c.Name == "" || len(c.Categories) == 0 || c.Queue == "" && !c.Standalone {
		return fault.New(fault.Invalid, "FEED_CONFIG_INVALID", "a feed needs a name, categories, and a queue unless it stands alone")
	}
	for _, category := range c.Categories {
		if !category.Registered() {
			return fault.Newf(fault.Invalid, "FEED_CONFIG_INVALID", "feed %s: category %q is not registered", c.Name, category)
		}
	}
	return nil
}

// Consumer is one member of a consumer group. Members on one queue take turns: one is active.
type Consumer struct {
	store   *eventstore.Client
	broker  *rabbit.Broker
	sink    Sink
	cfg     Config
	metrics *metrics
}

// New returns a consumer; it does nothing before Run. broker may be nil if cfg.Standalone. Faults: FEED_CONFIG_INVALID, METRICS_REFUSED.
func New(store *eventstore.Client, broker *rabbit.Broker, sink Sink, cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer, cfg.Name)
	if err != nil {
		return nil, err
	}
	return &Consumer{store: store, broker: broker, sink: sink, cfg: cfg, metrics: m}, nil
}

// Run consumes until ctx ends and then returns nil. Error: ErrForeignStore, ErrCategories, ErrHistory.
func (c *Consumer) Run(ctx context.Context) error {
	backoff := rabbit.NewBackoff(c.cfg.MinBackoff, c.cfg.MaxBackoff)
	for {
		err := c.round(ctx, backoff.Reset)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrForeignStore), errors.Is(err, ErrCategories), errors.Is(err, ErrHistory):
			return err
		}
		c.cfg.Logger.WarnContext(ctx, "feed begins again from its checkpoint", "feed", c.cfg.Name, "error", err)
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

// round goes from the checkpoint as far as it can.
func (c *Consumer) round(ctx context.Context, caughtUp func()) error {
	w, err := c.begin(ctx)
	if err != nil {
		return err
	}
	backoff := rabbit.NewBackoff(c.cfg.MinBackoff, c.cfg.MaxBackoff)
	for {
		if err := w.catchUp(ctx); err != nil {
			return err
		}
		caughtUp()
		if c.cfg.Standalone {
			return w.follow(ctx, ctx)
		}
		began := time.Now()
		if err := c.liveOrFollow(ctx, w); !errors.Is(err, errBehind) && !errors.Is(err, rabbit.ErrLost) && !errors.Is(err, rabbit.ErrQuiet) {
			return err
		}
		if time.Since(began) > c.cfg.MaxBackoff {
			backoff.Reset()
		}
		if !backoff.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// liveOrFollow consumes the queue; while the broker is away it follows the store.
func (c *Consumer) liveOrFollow(ctx context.Context, w *worker) error {
	deliveries, err := c.consume(ctx)
	if err != nil && ctx.Err() != nil {
		return err // draining: the broker may well be there
	}
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "feed follows the store while the broker is away", "feed", c.cfg.Name, "error", err)
		if deliveries, err = w.followUntilBroker(ctx); err != nil {
			return err
		}
	}
	defer deliveries.Close()
	return w.live(ctx, deliveries)
}

func (c *Consumer) consume(ctx context.Context) (*rabbit.Consumption, error) {
	categories := make([]string, len(c.cfg.Categories))
	for i, category := range c.cfg.Categories {
		categories[i] = string(category)
	}
	return c.broker.Consume(ctx, rabbit.EventQueue(c.cfg.Queue, categories), c.cfg.Queue, c.cfg.Prefetch)
}
