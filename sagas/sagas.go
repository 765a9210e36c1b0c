// Package sagas drives the process managers: what happened to an order becomes commands to the services, and what they
// answer becomes the next commands. The states are aggregates/fulfilment and aggregates/returns, pure machines whose events
// are the streams `fulfilment-<order>` and `return-<return>`; here is everything around them.
//
//	order.placed, order.cancel-requested, order.returned ── feed ──> starts.go ──┐
//	answers ──────────────────────────── fulfilment.replies ──────> answers.go ──┼─> instance.go: load, decide, append
//	timers ───────────────────────────── table saga ───────────────> timers.go ──┘        │ then
//	fulfilment.*, return.*  ──────────── feed ──> index.go: table saga                     └─> send the commands that became open
//
// What is kept:
//   - a saga's state is its stream and nothing else. Every step forward is an append at the revision it was decided at, so any
//     number of processes may run at once (invariants 22 to 26): who loses a race reads and decides again.
//   - a command is sent after the event that makes it outstanding is durable, under the id UUIDv5(saga, step) (invariant 24). Sending
//     is an optimisation: the broker may lose everything. What is outstanding stands in the event, the feed folds the event into the table
//     saga together with its checkpoint, and the row's timer sends the command again under the same id, at growing intervals, until
//     it is answered. A crash between append and send, a wiped broker and a lost answer are therefore one case.
//   - the table is a fold: dropped, it is rebuilt from the streams by starting from zero; all timers then ring once.
//   - deadlines stand in the event that starts the saga and run from then on, not from the order's business time.
//
// worker.go is the other side: it takes a service's commands from its queues and has commands.Handlers carry them out.
//
// Failure: while store, broker or database are away, everything here waits and tries again; no saga is lost. What a service
// refuses is the machine's business. A saga that is stuck waits for an operator: Redrive.
package sagas

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
)

// Schema is the Postgres schema of the table saga and the checkpoint.
const Schema = "sagas"

// Queue is the event queue of the sagas.
const Queue = "sagas.events"

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the schema's files, for postgres.Migrate.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) //nolint:forbidigo // the embedded folder is there, or it would not compile
	}
	return files
}

// Owned is the schema with its rights: sagas end, and their rows stay.
func Owned() postgres.Schema {
	return postgres.Schema{Name: Schema, Files: Migrations(), Rights: postgres.Rights{
		"checkpoint": {postgres.Sagas: "SELECT INSERT UPDATE"},
		"saga":       {postgres.Sagas: "SELECT INSERT UPDATE"},
	}}
}

// Config tunes the sagas. The zero value is fit for use.
type Config struct {
	Deadline    time.Duration // an order that is not confirmed so long after its saga began is cancelled; default 24 h
	Retry       time.Duration // first wait for an answer before a command is sent again; it doubles; default 10 s
	RetryMost   time.Duration // longest wait; default 5 min
	ResendRate  int           // sagas whose commands are sent again, per second and process; default 100
	Concurrency int           // orders that one step of the feed starts at the same time; default 64
	CacheLines  int           // bound of the cache of hot sagas, in order lines; default 60,000
	Standalone  bool          // follow the store without a broker queue for events; for tests and small tools

	Now        func() time.Time      // default time.Now
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: slog.Default()
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{{&c.Deadline, 24 * time.Hour}, {&c.Retry, 10 * time.Second}, {&c.RetryMost, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	for _, n := range []struct {
		value *int
		unset int
	}{{&c.ResendRate, 100}, {&c.Concurrency, 64}, {&c.CacheLines, 60_000}} {
		if *n.value <= 0 {
			*n.value = n.unset
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Sagas drives all sagas. Any number of processes may run one each.
type Sagas struct {
	store *eventstore.Client
	bus   *rabbit.Bus
	pool  *pgxpool.Pool
	feed  *feed.Consumer
	out   chan rabbit.Command // to the senders
	cache *cache
	alarm *alarm
	meter *metrics
	cfg   Config
	log   *slog.Logger
}

// New returns the sagas; nothing runs before Run. REQUIRES: pool has Schema as its search path, migrated with Migrations.
// Faults: SAGAS_INCOMPLETE, those of feed.New.
func New(store *eventstore.Client, broker *rabbit.Broker, bus *rabbit.Bus, pool *pgxpool.Pool, cfg Config) (*Sagas, error) {
	if store == nil || bus == nil || pool == nil {
		return nil, fault.New(fault.Invalid, "SAGAS_INCOMPLETE", "sagas need an event store, a bus and a database")
	}
	cfg = cfg.withDefaults()
	s := &Sagas{store: store, bus: bus, pool: pool, out: make(chan rabbit.Command, sendQueue), cache: newCache(cfg.CacheLines), alarm: newAlarm(), cfg: cfg, log: cfg.Logger}
	var err error
	if s.meter, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	s.feed, err = feed.New(store, broker, &sink{s}, feed.Config{
		Name: "sagas", Queue: Queue, Categories: []eventstore.Category{eventstore.Order, eventstore.Cart, eventstore.Fulfilment, eventstore.Return},
		Standalone: cfg.Standalone, Registerer: cfg.Registerer, Logger: cfg.Logger,
	})
	return s, err
}

// Run drives until ctx ends, and then returns nil after what was begun is finished. Errors: those of feed.Consumer.Run, after
// which somebody must decide. REQUIRES: called once.
func (s *Sagas) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx)) // what was decided is sent also after ctx ended
	defer stop()
	var carriers sync.WaitGroup
	for range senders {
		carriers.Go(func() { s.carry(sending) })
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.feed.Run(ctx) })
	group.Go(func() error { return s.bus.Replies(ctx, s.answer) })
	group.Go(func() error { return s.ring(ctx) })
	err := group.Wait()
	close(s.out)
	impatience := time.AfterFunc(sendGrace, stop)
	defer impatience.Stop()
	carriers.Wait()
	return err
}

const (
	sendQueue = 4096            // commands that wait for the broker
	sendGrace = 3 * time.Second // to send them when Run ends; timers send the rest
)

// Redrive has a stuck saga try its step again, under the same command id: done twice, it has one effect. Faults: fulfilment.ErrNotStarted,
// fulfilment.ErrNotStuck (and those of returns), SAGA_STREAM_UNKNOWN, the store's.
func (s *Sagas) Redrive(ctx context.Context, stream eventstore.Stream) error {
	var refusal error
	done, err := s.act(ctx, stream, act{name: "RedriveSaga", causation: CommandID(stream, "redrive").String(), decide: func(p process) []event {
		var events []event
		events, refusal = p.redrive()
		return events
	}})
	if err != nil {
		return err
	}
	if refusal == nil && s.bus.Send(ctx, s.messages(ctx, done.instance, done.commands)...) != nil {
		s.meter.unsent.Inc() // its timer sends it
	}
	return refusal
}
