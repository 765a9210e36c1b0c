package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/projections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const storeID eventstore.StoreID = "store-1"

var epoch = time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)

// history is a store in memory: it is the feed's side of the contract that is at stake here, not the store's.
type history struct {
	events    []eventstore.Recorded
	revisions map[eventstore.Stream]eventstore.Revision
}

// add appends a body to its stream, one minute after the event before.
func (h *history) add(t testing.TB, stream eventstore.Stream, body interface{ Type() string }) eventstore.Recorded {
	t.Helper()
	data, err := aggregates.Encode(body)
	if err != nil {
		t.Fatal(err)
	}
	return h.raw(t, stream, body.Type(), data)
}

func (h *history) raw(t testing.TB, stream eventstore.Stream, eventType string, data []byte) eventstore.Recorded {
	t.Helper()
	if h.revisions == nil {
		h.revisions = map[eventstore.Stream]eventstore.Revision{}
	}
	n := len(h.events)
	at := epoch.Add(time.Duration(n) * time.Minute)
	meta := eventstore.Metadata{Correlation: "c", Causation: "c", Command: "cmd", Name: "Test", OccurredAt: at, Schema: 1,
		Actor: eventstore.Actor{Kind: "staff", ID: "s1", Roles: []string{"admin"}, Auth: "bearer"}}
	encoded, err := meta.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := eventstore.Recorded{Stream: stream, Revision: h.revisions[stream], Position: eventstore.Position(10*n + 10),
		ID: eventstore.EventID(uuid.Nil, n, data), Type: eventType, Data: data, Metadata: encoded, Created: time.Now()}
	h.revisions[stream]++
	h.events = append(h.events, r)
	return r
}

// between returns the events of the categories in (from, to].
func (h *history) between(from, to eventstore.Position, categories []eventstore.Category) []eventstore.Recorded {
	var out []eventstore.Recorded
	start := sort.Search(len(h.events), func(i int) bool { return h.events[i].Position > from })
	for _, e := range h.events[start:] {
		if e.Position > to {
			break
		}
		for _, c := range categories {
			if e.Stream.Category() == c {
				out = append(out, e)
			}
		}
	}
	return out
}

func (h *history) head() eventstore.Position {
	if len(h.events) == 0 {
		return 0
	}
	return h.events[len(h.events)-1].Position
}

// batch is what a feed at from would hand over to reach to.
func (h *history) batch(from, to eventstore.Position, categories []eventstore.Category) feed.Batch {
	b := feed.Batch{From: from, Events: h.between(from, to, categories),
		To: feed.Checkpoint{Position: to, Store: storeID, Categories: categories}}
	for i := sort.Search(len(h.events), func(i int) bool { return h.events[i].Position > to }) - 1; i >= 0; i-- {
		if slices.Contains(categories, h.events[i].Stream.Category()) {
			b.To.Last = h.events[i].ID
			break
		}
	}
	return b
}

// read is a projections.History over the memory, in batches of size events.
func (h *history) read(size int) projections.History {
	return func(ctx context.Context, from feed.Checkpoint, apply func(context.Context, feed.Batch) error) error {
		at := from.Position
		for at < h.head() {
			to, taken := h.head(), 0
			for _, e := range h.events[sort.Search(len(h.events), func(i int) bool { return h.events[i].Position > at }):] {
				if slices.Contains(from.Categories, e.Stream.Category()) {
					taken++
				}
				if taken == size {
					to = e.Position
					break
				}
			}
			if err := apply(ctx, h.batch(at, to, from.Categories)); err != nil {
				return err
			}
			at = to
		}
		return nil
	}
}

func all(t testing.TB) []projections.Projection {
	t.Helper()
	list, err := projections.All(projections.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// database returns a pool on a database of its own in which Annal's read models are prepared.
func database(t testing.TB) *pgxpool.Pool {
	t.Helper()
	url := testenv.PostgresFrom(t, "readmodels", func(url string) error {
		pool, err := postgres.Open(context.Background(), url, postgres.Config{})
		if err != nil {
			return err
		}
		defer pool.Close()
		list, err := projections.All(projections.Settings{})
		if err != nil {
			return err
		}
		return projections.Prepare(context.Background(), pool, list)
	})
	return open(t, url)
}

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), url, postgres.Config{MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// acting returns a pool to the owner's database in the projector's role, in which every test's projector works.
func acting(t testing.TB, owner *pgxpool.Pool, list []projections.Projection) *pgxpool.Pool {
	t.Helper()
	access := postgres.Access{Owner: owner.Config().ConnString()}
	err := access.Grant(context.Background(), projections.Owned(list)...)
	for try := 0; fault.KindOf(err) == fault.Unavailable && try < 20; try++ { // some tests end every connection there is
		err = access.Grant(context.Background(), projections.Owned(list)...)
	}
	if err != nil {
		t.Fatal(err)
	}
	pool, err := access.Open(context.Background(), postgres.Projector, postgres.Config{MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// projector returns one with a pool of its own to the owner's database.
func projector(t testing.TB, owner *pgxpool.Pool, h *history, cfg projections.Config) *projections.Projector {
	t.Helper()
	list := cfg.Projections
	if list == nil {
		list = all(t)
	}
	return projectorOn(t, acting(t, owner, list), h, cfg)
}

// projectorOn returns one that shares the pool, which acts in the projector's role.
func projectorOn(t testing.TB, pool *pgxpool.Pool, h *history, cfg projections.Config) *projections.Projector {
	t.Helper()
	if cfg.Projections == nil {
		cfg.Projections = all(t)
	}
	if cfg.History == nil {
		cfg.History = h.read(100)
	}
	p, err := projections.New(pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tables returns every read model's rows as text, position and count of events included, and what the catalogue counts: two
// histories that were applied exactly once give the same.
func tables(t testing.TB, pool *pgxpool.Pool, list []projections.Projection) string {
	t.Helper()
	var b strings.Builder
	for _, p := range list {
		schema := fmt.Sprintf("%s_v%d", p.Name(), p.Version())
		rows, err := pool.Query(context.Background(), "SELECT to_jsonb(x) FROM "+pgx.Identifier{schema, p.Name()}.Sanitize()+" x ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		docs, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		if err != nil {
			t.Fatal(err)
		}
		var taken int64
		err = pool.QueryRow(context.Background(), "SELECT events FROM projections.checkpoints WHERE name = $1 AND version = $2", p.Name(), p.Version()).Scan(&taken)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "== %s: %d events\n", p.Name(), taken)
		for _, d := range docs {
			b.Write(d)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// rebuilt returns the tables that the history gives from zero.
func rebuilt(t testing.TB, h *history) string {
	t.Helper()
	pool := database(t)
	if err := projector(t, pool, h, projections.Config{}).RunToEnd(context.Background()); err != nil {
		t.Fatal(err)
	}
	return tables(t, pool, all(t))
}

func sealed(subject, plain string) pii.Sealed {
	return pii.Sealed{Key: pii.KeyID{Subject: pii.Subject(subject), Purpose: pii.Fulfilment, Version: 1}, Cipher: []byte(plain)}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
