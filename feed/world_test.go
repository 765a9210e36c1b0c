package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a store, a broker and a database of one test's own.
type world struct {
	t      *testing.T
	ctx    context.Context
	store  *eventstore.Client
	url    string // the broker's
	broker *rabbit.Broker
	random *rand.Rand
	heads  map[eventstore.Stream]eventstore.Revision
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, url: testenv.RabbitMQ(t), random: rand.New(rand.NewPCG(seed, 7)), heads: map[eventstore.Stream]eventstore.Revision{}}
	store, err := eventstore.Open(servertest.Start(t), eventstore.Config{Logger: quiet})
	w.must(err)
	w.store = store
	t.Cleanup(func() { _ = store.Close() })
	w.broker = w.open()
	return w
}

var quiet = slog.New(slog.DiscardHandler)

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// open returns a process's own access to the broker.
func (w *world) open() *rabbit.Broker {
	w.t.Helper()
	b, err := rabbit.Open(rabbit.Config{URL: w.url})
	w.must(err)
	w.t.Cleanup(b.Close)
	return b
}

// relay runs a relay until stop is called.
func (w *world) relay(url string, cfg relay.Config) (stop func()) {
	w.t.Helper()
	pool, err := postgres.Open(w.ctx, url, postgres.Config{})
	w.must(err)
	w.t.Cleanup(pool.Close)
	cfg.Logger, cfg.MaxBackoff = quiet, 200*time.Millisecond
	r, err := relay.New(w.store, w.open(), pool, cfg)
	w.must(err)
	return w.run(r.Run)
}

func (w *world) database() string {
	w.t.Helper()
	url := testenv.Postgres(w.t)
	w.must(postgres.Migrate(w.ctx, url, relay.Schema, relay.Migrations()))
	return url
}

// run runs until stop is called or the test ends.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// append appends n events to random streams of several categories.
func (w *world) append(n int) {
	w.t.Helper()
	categories := []eventstore.Category{eventstore.Order, eventstore.Payment, eventstore.Cart, eventstore.Inventory}
	for i := range n {
		category := categories[w.random.IntN(len(categories))]
		stream := category.Stream(fmt.Sprint(w.random.IntN(20)))
		w.appendTo(stream, fmt.Sprintf(`{"n":%d}`, i))
	}
}

func (w *world) appendTo(stream eventstore.Stream, data string) {
	w.t.Helper()
	head, known := w.heads[stream]
	if !known {
		head = eventstore.NoStream
	}
	e := eventstore.Event{ID: uuid.New(), Type: string(stream.Category()) + ".tested.v1", Data: []byte(data), Metadata: []byte(`{"$correlationId":"c","occurredAt":"2026-01-02T03:04:05Z","country":"DE"}`)}
	got, err := w.store.Append(w.ctx, stream, head, []eventstore.Event{e})
	w.must(err)
	w.heads[stream] = got.Revision
}

var subset = []eventstore.Category{eventstore.Order, eventstore.Payment, eventstore.Inventory}

// consume runs a consumer on the group's queue until stop is called.
func (w *world) consume(sink Sink, change ...func(*Config)) (stop func()) {
	w.t.Helper()
	cfg := Config{Name: "test", Queue: "test.events", Categories: subset, Logger: quiet, MaxBackoff: 200 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(w.store, w.open(), sink, cfg)
	w.must(err)
	return w.run(c.Run)
}

// converges waits until the sink has applied what the store has, and compares every byte.
func (w *world) converges(sink *memory) {
	w.t.Helper()
	var want []eventstore.Recorded
	for r, err := range w.store.ReadAll(w.ctx, 0, eventstore.Filter{Categories: subset}) {
		w.must(err)
		want = append(want, r)
	}
	got := sink.wait(w.ctx, len(want))
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Fatalf("applied differs from the store (-store +applied):\n%s", diff)
	}
}

// memory is a Sink with the promises of a database: all or nothing, compared with the old checkpoint.
type memory struct {
	mu      sync.Mutex
	cp      Checkpoint
	applied []eventstore.Recorded
	changed chan struct{}
	fault   func() error // asked before each Apply; an error is returned, before or after committing
}

func newMemory() *memory { return &memory{changed: make(chan struct{})} }

var errAfterCommit = errors.New("the connection broke after the commit")

func (m *memory) Checkpoint(context.Context) (Checkpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cp, nil
}

func (m *memory) Apply(_ context.Context, b Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.fault != nil {
		if err = m.fault(); err != nil && !errors.Is(err, errAfterCommit) {
			return err
		}
	}
	if m.cp.Position != b.From {
		return ErrCheckpointMoved
	}
	m.cp = b.To
	m.applied = append(m.applied, b.Events...)
	close(m.changed)
	m.changed = make(chan struct{})
	return err
}

// wait returns what is applied as soon as it is n events, or what there is when time is up.
func (m *memory) wait(ctx context.Context, n int) []eventstore.Recorded {
	for {
		m.mu.Lock()
		applied, changed := m.applied, m.changed
		m.mu.Unlock()
		if len(applied) >= n {
			return applied
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return applied
		}
	}
}

func (m *memory) position() eventstore.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cp.Position
}
