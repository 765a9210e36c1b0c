// Package relay carries the domain events of the store to RabbitMQ, in the log's order.
//
// Invariants. Every domain event at or below the checkpoint was confirmed by the broker and, since event queues are
// declared for its key, routed to a queue (invariant 10). Two relays at once cause duplicates, never loss or a wrong order of effect
// (invariant 12): each publishes in order from a checkpoint, and each message says in `after` what stands before it, so that a
// consumer knows what it misses, whoever sent it.
//
//	store ──Subscribe──> session.handle ──pipelined, mandatory──> exchange events
//	                        │ every 50 ms: watermark, same channel       │ confirms, in order
//	                        └ published (position, after)                └ confirmed (position, after) ──> relay.checkpoint
//
// Any number of relays may run. One leads: it holds a session advisory lock in Postgres (gone with the process, at once) and
// a fence, a number that grows with each leader and without which no checkpoint can be written; so a leader that slept through
// the loss of its lock writes nothing. Followers wait for the lock.
//
// On failure of broker, channel, a confirm that never comes, a returned or refused message: the session ends, the topology is
// declared again and a new session begins behind the last confirmed position, after a backoff with jitter. While the broker is away
// the relay holds nothing in memory but its window: it reads the store only as fast as the broker confirms. While Postgres is away
// nobody leads. A checkpoint of another store, or one ahead of the store, ends Run with a fault that says what to do.
//
// The relay never decodes a payload. Of the metadata it reads what consumers select by and the trace context. cmd/annald runs it.
package relay

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
)

// Schema is the Postgres schema of the relay's checkpoint.
const Schema = "relay"

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the goose files of Schema; whoever wires the relay applies them before Run.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) //nolint:forbidigo // the folder is compiled in
	}
	return sub
}

// Owned is the schema with its rights: the relay keeps one row and never removes it.
func Owned() postgres.Schema {
	return postgres.Schema{Name: Schema, Files: Migrations(), Rights: postgres.Rights{
		"checkpoint": {postgres.Relay: "SELECT INSERT UPDATE"},
	}}
}

// Config bounds the relay. The zero value is fit for use.
type Config struct {
	Window          int                   // messages in flight; default 1000
	WatermarkEvery  time.Duration         // default 50 ms
	WatermarkExpiry time.Duration         // how long a watermark waits in a queue; default 2 s
	CheckpointEvery time.Duration         // default 200 ms
	LeasePing       time.Duration         // how often the leader looks at its lock; default 2 s
	MinBackoff      time.Duration         // first wait after a failed session; default 200 ms, time for consumers of a deleted queue to learn of it
	MaxBackoff      time.Duration         // longest; default 5 s
	Name            string                // of this process, shown as the leader; default host and process id
	Registerer      prometheus.Registerer // nil: no metrics
	Logger          *slog.Logger          // nil: slog.Default()

	// beforeCheckpoint is a failpoint of tests: an error ends the session as if the process had died there.
	beforeCheckpoint func() error
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = 1000
	}
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&c.WatermarkEvery, 50 * time.Millisecond}, {&c.WatermarkExpiry, 2 * time.Second}, {&c.CheckpointEvery, 200 * time.Millisecond},
		{&c.LeasePing, 2 * time.Second}, {&c.MinBackoff, 200 * time.Millisecond}, {&c.MaxBackoff, 5 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	if c.Name == "" {
		host, _ := os.Hostname() // a nameless host is told apart by its process id
		c.Name = host + "/" + strconv.Itoa(os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// The faults that end Run: somebody must decide.
var (
	// ErrForeignStore: the checkpoint belongs to another store (invariant 19).
	ErrForeignStore = fault.New(fault.Conflict, "RELAY_FOREIGN_STORE", "the relay's checkpoint belongs to another event store; connect the right one, or, if this is it, "+postgres.BeginAnew)
	// ErrAheadOfStore: the store was restored to an older state.
	ErrAheadOfStore = fault.New(fault.Conflict, "RELAY_AHEAD_OF_STORE", "the relay's checkpoint is ahead of the event store, which was restored to an earlier position; "+postgres.BeginAnew)
)

// errFenced: another relay leads; this one waits again.
var errFenced = fault.New(fault.Conflict, "RELAY_FENCED", "another relay has taken over")

// Relay is one candidate for leadership.
type Relay struct {
	store   *eventstore.Client
	broker  *rabbit.Broker
	pool    *pgxpool.Pool
	cfg     Config
	metrics *metrics
}

// New returns a relay; it does nothing before Run. Error: the registerer's, if the metrics are registered already.
func New(store *eventstore.Client, broker *rabbit.Broker, pool *pgxpool.Pool, cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Relay{store: store, broker: broker, pool: pool, cfg: cfg, metrics: m}, nil
}

// Run leads whenever nobody else does, until ctx ends; then it returns nil, with the checkpoint saved as far as everything is
// confirmed. Error: ErrForeignStore, ErrAheadOfStore: what no waiting mends.
func (r *Relay) Run(ctx context.Context) error {
	backoff := rabbit.NewBackoff(r.cfg.MinBackoff, r.cfg.MaxBackoff)
	for {
		err := r.lead(ctx, backoff.Reset)
		switch {
		case ctx.Err() != nil:
			return nil
		case permanent(err):
			return err
		}
		r.cfg.Logger.WarnContext(ctx, "relay does not lead", "error", err)
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

// A broker that refuses the login or has other queues may be mended, or wiped and set up again, while we wait.
func permanent(err error) bool {
	return errors.Is(err, ErrForeignStore) || errors.Is(err, ErrAheadOfStore)
}

// lead waits for the lock and then publishes, session after session, until the lock is lost.
func (r *Relay) lead(ctx context.Context, led func()) error {
	lease, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		cancel(lease.watch(ctx, r.cfg.LeasePing))
	}()
	defer func() { cancel(nil); <-watched }()

	store, err := r.store.Identity(ctx)
	if err != nil {
		return err
	}
	cp, err := r.takeOver(ctx, store)
	if err != nil {
		return err
	}
	if err := r.verify(ctx, store, cp); err != nil {
		return err
	}
	led()
	r.metrics.leader.Set(1)
	defer r.metrics.leader.Set(0)
	r.cfg.Logger.InfoContext(ctx, "relay leads", "position", uint64(cp.position), "fence", cp.fence)
	err = r.publishOn(ctx, cp)
	if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) {
		return cause
	}
	return err
}

// verify notices a foreign store and one that was restored to an older state.
func (r *Relay) verify(ctx context.Context, store eventstore.StoreID, cp *checkpoint) error {
	if cp.store != store {
		return ErrForeignStore
	}
	head, err := r.store.Head(ctx)
	if err != nil {
		return err
	}
	if cp.after.Last(eventstore.Categories()) > head {
		return ErrAheadOfStore
	}
	return nil
}

// publishOn runs sessions behind the confirmed prefix until ctx ends or a failure asks for somebody's decision.
func (r *Relay) publishOn(ctx context.Context, cp *checkpoint) error {
	r.metrics.checkpoint.Set(float64(cp.position))
	backoff := rabbit.NewBackoff(r.cfg.MinBackoff, r.cfg.MaxBackoff)
	for {
		before := cp.position
		err := r.session(ctx, cp)
		switch {
		case ctx.Err() != nil, permanent(err), errors.Is(err, errFenced):
			return err
		case cp.position > before:
			backoff.Reset()
		}
		r.metrics.sessions.Inc()
		r.cfg.Logger.WarnContext(ctx, "relay begins again behind its last confirmed position", "position", uint64(cp.position), "error", err)
		if !backoff.Wait(ctx) {
			return ctx.Err()
		}
	}
}
