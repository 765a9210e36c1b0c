package projections_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/projections"
)

var _ feed.Sink = (*projections.Projector)(nil)

// The projector behind the real feed and store: it begins, is stopped, loses a projection to a pause and one to a new
// version's beginning, and begins again, each time from a checkpoint that the feed verifies against the store.
func TestTheFeedTakesUpWhereTheProjectorStood(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, err := eventstore.Open(servertest.Start(t), eventstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	h, pool := shop(t, seeded(11), 8), database(t)
	half := len(h.events) / 2
	pour(t, store, h.events[:half])
	consume(t, store, pool)

	operator := projector(t, pool, h, projections.Config{})
	if err := operator.Pause(ctx, "stock"); err != nil {
		t.Fatal(err)
	}
	pour(t, store, h.events[half:])
	received(t, h, "85123A", 4) // the newest event is of a category that only the paused projection folds
	pour(t, store, h.events[len(h.events)-1:])
	consume(t, store, pool)
	if err := operator.Resume(ctx, "stock"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `UPDATE projections.checkpoints SET position = 0, last_position = 0, events = 0, generation = generation + 1 WHERE name = 'products';`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `TRUNCATE products_v1.products`); err != nil { // as a read model that is new
		t.Fatal(err)
	}
	consume(t, store, pool)
	end := projector(t, pool, h, projections.Config{History: projections.FromStore(store, 50)})
	if err := end.RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	rebuild := database(t)
	if err := projector(t, rebuild, h, projections.Config{History: projections.FromStore(store, 1000)}).RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tables(t, rebuild, all(t)), tables(t, pool, all(t))); diff != "" {
		t.Fatal(diff)
	}
}

// pour appends the events as they are.
func pour(t *testing.T, store *eventstore.Client, events []eventstore.Recorded) {
	t.Helper()
	for _, e := range events {
		_, err := store.Append(t.Context(), e.Stream, e.Revision-1, []eventstore.Event{{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// consume runs a feed without a broker until the running projections have seen the store's head.
func consume(t *testing.T, store *eventstore.Client, pool *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := projector(t, pool, nil, projections.Config{History: projections.FromStore(store, 50)})
	c, err := feed.New(store, nil, p, feed.Config{Name: "test", Standalone: true, Categories: p.Categories(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- c.Run(ctx) }()
	go func() { done <- p.Run(ctx) }()
	head, err := store.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const behind = `SELECT count(*) FROM projections.checkpoints WHERE name = 'orders' AND position < $1`
	for n := 1; n > 0; {
		if err := pool.QueryRow(ctx, behind, int64(head)).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
