package projections_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/projections"
)

// feedAll feeds everything behind the checkpoint in steps of positions, as a feed would.
func feedAll(t testing.TB, p *projections.Projector, h *history, step eventstore.Position) {
	t.Helper()
	at, err := p.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for from := at.Position; from < h.head(); {
		to := min(from+step, h.head())
		if err := p.Apply(context.Background(), h.batch(from, to, p.Categories())); err != nil {
			t.Fatal(err)
		}
		from = to
	}
}

func TestAPausedProjectionHoldsNobodyUpAndCatchesUpByItself(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h, pool := shop(t, seeded(5), 10), database(t)
	p := projector(t, pool, h, projections.Config{})
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	if err := p.Pause(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	feedAll(t, p, h, 70)
	if got := tables(t, pool, all(t)[:1]); got != "== orders: 0 events\n" {
		t.Fatalf("a paused projection moved:\n%s", got)
	}
	if err := p.Resume(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	// Further deliveries find it behind; Run brings it up while the group goes on.
	deadline := time.Now().Add(20 * time.Second)
	for tables(t, pool, all(t)[:1]) == "== orders: 0 events\n" {
		if time.Now().After(deadline) {
			t.Fatal("it never caught up")
		}
		received(t, h, "85123A", 1)
		feedAllRetrying(t, p, h)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	end := projector(t, pool, h, projections.Config{})
	if err := end.RunToEnd(context.Background()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rebuilt(t, h), tables(t, pool, all(t))); diff != "" {
		t.Fatal(diff)
	}
}

// feedAllRetrying is feedAll for a group whose generations somebody else moves.
func feedAllRetrying(t testing.TB, p *projections.Projector, h *history) {
	t.Helper()
	at, err := p.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	err = p.Apply(context.Background(), h.batch(at.Position, h.head(), p.Categories()))
	if err != nil && !errors.Is(err, feed.ErrCheckpointMoved) {
		t.Fatal(err)
	}
}

func TestABrokenProjectionLeavesTheGroupVisiblyAndComesBack(t *testing.T) {
	t.Parallel()
	ctx, h, pool := context.Background(), shop(t, seeded(6), 6), database(t)
	if _, err := pool.Exec(ctx, `ALTER TABLE stock_v1.stock RENAME TO gone`); err != nil {
		t.Fatal(err)
	}
	p := projector(t, pool, h, projections.Config{RetryFailed: time.Millisecond})
	feedAll(t, p, h, 100_000)
	var status, cause string
	if err := pool.QueryRow(ctx, `SELECT status, cause FROM projections.checkpoints WHERE name = 'stock'`).Scan(&status, &cause); err != nil || status != "failed" || cause == "" {
		t.Fatalf("status %q, cause %q, %v", status, cause, err)
	}
	if _, err := pool.Exec(ctx, `ALTER TABLE stock_v1.gone RENAME TO stock`); err != nil {
		t.Fatal(err)
	}
	again := projector(t, pool, h, projections.Config{RetryFailed: time.Millisecond})
	if err := again.RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rebuilt(t, h), tables(t, pool, all(t))); diff != "" {
		t.Fatal(diff)
	}
}

func TestAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	h, pool := shop(t, seeded(7), 2), database(t)
	p := projector(t, pool, h, projections.Config{})
	feedAll(t, p, h, 100_000)
	b := h.batch(h.head(), h.head()+10, p.Categories())
	b.To.Store = "store-2"
	if err := p.Apply(context.Background(), b); !errors.Is(err, feed.ErrCheckpointMoved) {
		t.Fatalf("events of another store: %v", err)
	}
	if c, err := p.Checkpoint(context.Background()); err != nil || c.Store != storeID || c.Position != h.head() || c.Last != h.events[len(h.events)-1].ID {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestPrepareIsRepeatableAndRefusesAChangeWithoutAVersion(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), database(t)
	if err := projections.Prepare(ctx, pool, all(t)); err != nil {
		t.Fatal(err)
	}
	spec := projections.Spec[unitsRow]{Name: "units", Version: 1, SQL: unitsSQL, Categories: []eventstore.Category{eventstore.Inventory},
		Keys: func(projections.Event) []string { return nil }, Apply: func(*unitsRow, projections.Event) error { return nil }}
	prepare := func() error {
		p, err := projections.Define(spec)
		if err != nil {
			return err
		}
		return projections.Prepare(ctx, pool, []projections.Projection{p})
	}
	spec.SQL = `CREATE TABLE units (id text PRIMARY KEY); CREATE TABLE units (id text);`
	if err := prepare(); fault.CodeOf(err) != "SQL_REFUSED" {
		t.Fatalf("broken SQL: %v", err)
	}
	spec.SQL = unitsSQL // and nothing of the broken one is left
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	spec.SQL += "\n-- changed"
	if err := prepare(); fault.CodeOf(err) != "PROJECTION_CHANGED" {
		t.Fatalf("changed SQL: %v", err)
	}
	spec.Version = 2
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	var shown string
	if err := pool.QueryRow(ctx, `SELECT view_definition FROM information_schema.views WHERE table_schema = 'read' AND table_name = 'units'`).Scan(&shown); err != nil || !strings.Contains(shown, "units_v1") {
		t.Fatalf("a new version shows itself before it is switched to: %q, %v", shown, err)
	}
}

func TestDefineSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	type noHead struct{ A int }
	_, err := projections.Define(projections.Spec[noHead]{Name: "x", Version: 1, SQL: "s", Categories: []eventstore.Category{eventstore.Order},
		Keys: func(projections.Event) []string { return nil }, Apply: func(*noHead, projections.Event) error { return nil }})
	if fault.CodeOf(err) != "PROJECTION_INVALID" || !strings.Contains(err.Error(), "Head") {
		t.Fatalf("got %v", err)
	}
}
