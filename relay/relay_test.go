package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

type world struct {
	t      testing.TB
	ctx    context.Context
	store  *eventstore.Client
	broker *rabbit.Broker
	url    string        // of the broker
	pool   *pgxpool.Pool // the owner's
	own    *pgxpool.Pool // the relay's
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, url: testenv.RabbitMQ(t)}
	db := testenv.Postgres(t)
	access := postgres.Access{Owner: db}
	w.must(access.Ready(ctx, postgres.Relay, Owned()))
	var err error
	w.own, err = access.Open(ctx, postgres.Relay, postgres.Config{})
	w.must(err)
	t.Cleanup(w.own.Close)
	w.pool, err = postgres.Open(ctx, db, postgres.Config{})
	w.must(err)
	t.Cleanup(w.pool.Close)
	w.store, err = eventstore.Open(servertest.Start(t), eventstore.Config{Logger: quiet})
	w.must(err)
	t.Cleanup(func() { _ = w.store.Close() })
	w.broker, err = rabbit.Open(rabbit.Config{URL: w.url})
	w.must(err)
	t.Cleanup(w.broker.Close)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(cfg Config) (stop func()) {
	w.t.Helper()
	cfg.Logger = quiet
	r, err := New(w.store, w.broker, w.own, cfg)
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// append appends n events in appends of at most 100, to one stream a call.
func (w *world) append(category eventstore.Category, n int) {
	w.t.Helper()
	stream, head := category.Stream(uuid.NewString()), eventstore.NoStream
	data := fmt.Appendf(nil, `{"pad":%q}`, make([]byte, 80)) // about 500 bytes of JSON
	for n > 0 {
		var events []eventstore.Event
		for range min(n, 100) {
			events = append(events, eventstore.Event{ID: uuid.New(), Type: string(category) + ".tested.v1", Data: data,
				Metadata: []byte(`{"$correlationId":"7e0a3c1e-0000-4000-8000-000000000001","$causationId":"7e0a3c1e-0000-4000-8000-000000000002","occurredAt":"2026-01-02T03:04:05Z","schema":1,"country":"DE","channel":"web"}`)})
		}
		got, err := w.store.Append(w.ctx, stream, head, events)
		w.must(err)
		head, n = got.Revision, n-len(events)
	}
}

// queue reads the events in the queue until it has seen until distinct ones; watermarks are left out.
func (w *world) queue(until int) (all []eventstore.Message) {
	w.t.Helper()
	c, err := w.broker.Consume(w.ctx, rabbit.EventsLayout(), "projections.events", 1000)
	w.must(err)
	defer c.Close()
	seen := map[uuid.UUID]bool{}
	for len(seen) < until {
		select {
		case d, ok := <-c.C:
			if !ok {
				w.t.Fatal("the queue's consumer ended")
			}
			m, err := eventstore.DecodeMessage(d.Headers, d.Body)
			w.must(err)
			if !m.Watermark {
				seen[m.Event.ID] = true
				all = append(all, m)
			}
		case <-w.ctx.Done():
			w.t.Fatalf("saw %d of %d events", len(seen), until)
		}
	}
	return all
}

// saved waits until the checkpoint stands at or beyond the store's head.
func (w *world) saved() {
	w.t.Helper()
	head, err := w.store.Head(w.ctx)
	w.must(err)
	ticker := time.NewTicker(5 * time.Millisecond) // the row is another process's in life: nothing signals it
	defer ticker.Stop()
	for {
		var at int64
		if err := w.pool.QueryRow(w.ctx, `SELECT position FROM relay.checkpoint`).Scan(&at); err == nil && eventstore.Position(at) >= head {
			return
		}
		select {
		case <-ticker.C:
		case <-w.ctx.Done():
			w.t.Fatal("the checkpoint never got there")
		}
	}
}

func TestMessagesCarryTheEventAndWhatStandsBeforeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.append(eventstore.Order, 2)
		w.append(eventstore.Snapshot, 1) // no domain event: neither published nor counted in a vector
		w.append(eventstore.Cart, 1)
	}
	w.start(Config{})
	store, err := w.store.Identity(w.ctx)
	w.must(err)
	var want []eventstore.Message
	after := eventstore.After{}
	for e, err := range w.store.ReadAll(w.ctx, 0, eventstore.Filter{}) {
		w.must(err)
		want = append(want, eventstore.Message{Event: e, After: after.Clone(), Store: store})
		after[e.Stream.Category()] = e.Position
	}
	if len(want) != 60 {
		t.Errorf("%d domain events", len(want))
	}
	if diff := cmp.Diff(want, w.queue(60)); diff != "" {
		t.Error(diff)
	}
}

func TestARestartGoesOnBehindTheCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append(eventstore.Order, 200)
	stop := w.start(Config{})
	w.saved()
	stop()
	w.append(eventstore.Payment, 50)
	w.start(Config{})
	if got := w.queue(250); len(got) != 250 {
		t.Errorf("%d messages for 250 events", len(got))
	}
}

func TestADeathBetweenPublishAndCheckpointCausesDuplicatesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append(eventstore.Order, 300)
	died := make(chan struct{})
	once := sync.OnceFunc(func() { close(died) })
	stop := w.start(Config{CheckpointEvery: 300 * time.Millisecond, beforeCheckpoint: func() error {
		once()
		return errors.New("killed")
	}})
	<-died
	stop()
	w.start(Config{})
	got := w.queue(300)
	newest := eventstore.Position(0)
	seen := map[uuid.UUID]bool{}
	for _, m := range got {
		if !seen[m.Event.ID] && m.Event.Position < newest {
			t.Fatal("an event came for the first time after a later one")
		}
		seen[m.Event.ID] = true
		newest = max(newest, m.Event.Position)
	}
}

func TestQueuesThatVanishAreDeclaredAgainAndNothingBehindThemIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(Config{})
	w.append(eventstore.Customer, 5) // only the projections' queue takes customers
	w.queue(5)
	u, err := url.Parse(w.url)
	w.must(err)
	request, err := http.NewRequestWithContext(w.ctx, http.MethodDelete, testenv.ManagementURL(t)+"/api/queues"+u.Path+"/projections.events", nil)
	w.must(err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	w.must(err)
	response.Body.Close()
	w.append(eventstore.Customer, 20)
	w.saved() // only what reached a queue counts
	if got := w.queue(20); len(got) < 20 {
		t.Errorf("%d messages", len(got))
	}
}

func TestAForeignOrOlderStoreIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append(eventstore.Order, 10)
	stop := w.start(Config{})
	w.saved()
	stop()
	for sql, want := range map[string]error{
		`UPDATE relay.checkpoint SET store = 'another'`: ErrForeignStore,
		`UPDATE relay.checkpoint SET store = $1, position = 1000000000, after = '{"order": 1000000000}' /* an older state came back */`: ErrAheadOfStore,
	} {
		var args []any
		if errors.Is(want, ErrAheadOfStore) {
			store, err := w.store.Identity(w.ctx)
			w.must(err)
			args = []any{string(store)}
		}
		_, err := w.pool.Exec(w.ctx, sql, args...)
		w.must(err)
		r, err := New(w.store, w.broker, w.own, Config{Logger: quiet})
		w.must(err)
		if err := r.Run(w.ctx); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestAnOldLeaderCanNotWriteTheCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := New(w.store, w.broker, w.own, Config{Logger: quiet})
	w.must(err)
	old, err := r.takeOver(w.ctx, "s")
	w.must(err)
	current, err := r.takeOver(w.ctx, "s")
	w.must(err)
	old.position, current.position = 9, 7
	if err := r.save(w.ctx, old); !errors.Is(err, errFenced) {
		t.Errorf("the old leader: %v", err)
	}
	w.must(r.save(w.ctx, current))
}

func TestOneLeadsAndTheNextTakesOverWhenItsSessionIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(Config{Name: "first", LeasePing: 20 * time.Millisecond})
	w.append(eventstore.Order, 1)
	w.saved()
	w.start(Config{Name: "second", LeasePing: 20 * time.Millisecond})
	_, err := w.pool.Exec(w.ctx, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	w.must(err)
	w.append(eventstore.Order, 50)
	w.saved()
	w.queue(51)
}
