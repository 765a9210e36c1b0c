package projections_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/projections"
)

// What deploy/postgres/forget-derived.sql drops is Annal's and derived, whatever else is called like it.
func TestForgettingWhatIsDerivedLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	pool := database(t)
	script := forget(t)
	for _, sql := range []string{"CREATE SCHEMA vault", "CREATE SCHEMA reports_v2", "CREATE SCHEMA sagas", script, script} {
		if _, err := pool.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%.40s: %v", sql, err)
		}
	}
	rows, err := pool.Query(context.Background(), `SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(left, []string{"public", "reports_v2", "vault"}) {
		t.Errorf("left: %v, %v", left, err)
	}
}

// forget returns the script that the faults of a foreign or restored store name.
func forget(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "deploy", "postgres", "forget-derived.sql"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// A store that was restored to an earlier position is refused, by a fault that names a script; with the script run, read models are
// built anew and equal those that never saw the events that are gone.
func TestAfterARestoreTheScriptThatTheFaultNamesMakesReadModelsAnew(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	h := shop(t, seeded(23), 8)
	half := len(h.events) / 2
	dir, backup, restored := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	before := servertest.StartAt(t, dir, "127.0.0.1:0")
	store := connect(t, before.URL)
	pour(t, store, h.events[:half])
	if _, err := store.Identity(ctx); err != nil { // an event of the half that is backed up
		t.Fatal(err)
	}
	before.Stop()
	backUp(t, dir, backup)
	before.Restart()
	pour(t, store, h.events[half:])
	pool := database(t)
	consume(t, store, pool)
	before.Stop()

	if _, err := engine.Restore(ctx, backup, restored, engine.RestoreConfig{}); err != nil {
		t.Fatal(err)
	}
	store = connect(t, servertest.StartAt(t, restored, "127.0.0.1:0").URL)
	refusing := projector(t, pool, nil, projections.Config{History: projections.FromStore(store, 50)})
	c, err := feed.New(store, nil, refusing, feed.Config{Name: "test", Standalone: true, Categories: refusing.Categories(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); !errors.Is(err, feed.ErrHistory) || !strings.Contains(fault.MessageOf(err), "deploy/postgres/forget-derived.sql") {
		t.Fatalf("a restored store: %v", err)
	}

	if _, err := pool.Exec(ctx, forget(t), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if err := projections.Prepare(ctx, pool, all(t)); err != nil { // as each start does
		t.Fatal(err)
	}
	consume(t, store, pool)
	undisturbed := database(t)
	consume(t, store, undisturbed)
	if diff := cmp.Diff(tables(t, undisturbed, all(t)), tables(t, pool, all(t))); diff != "" {
		t.Fatal(diff)
	}
}

func connect(t *testing.T, url string) *eventstore.Client {
	t.Helper()
	store, err := eventstore.Open(url, eventstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func backUp(t *testing.T, dir, dest string) {
	t.Helper()
	db, err := engine.Open(dir, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Backup(t.Context(), dest, nil)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
