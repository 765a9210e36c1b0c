package projections_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/projections"
)

// A slate is one prepared database for many trials, one after the other; wipe makes it again what it was. To clone, grant and drop a
// database takes ten times as long as a trial, and the drop is a checkpoint that every other test of the server waits for.
type slate struct {
	owner  *pgxpool.Pool
	pool   *pgxpool.Pool // in the projector's role, shared by all projectors
	tables []string      // quoted; their rows of the beginning are kept in schema slate
}

// slateOf takes a database in which the projections are prepared, and nothing else is.
func slateOf(t testing.TB, owner *pgxpool.Pool, list []projections.Projection) *slate {
	t.Helper()
	s := &slate{owner: owner, pool: acting(t, owner, list)}
	s.tables = s.found(t)
	var batch pgx.Batch
	batch.Queue("CREATE SCHEMA slate")
	for i, name := range s.tables {
		batch.Queue(fmt.Sprintf("CREATE TABLE slate.t%d AS TABLE %s", i, name))
	}
	s.send(t, &batch)
	return s
}

// wipe brings the first rows back, on new connections: a trial may have cut those of before. A trial that made or dropped a table has no
// business on a slate.
func (s *slate) wipe(t testing.TB) {
	t.Helper()
	s.owner.Reset()
	s.pool.Reset()
	if now := s.found(t); !slices.Equal(s.tables, now) {
		t.Fatalf("a trial left other tables than it found: %v, not %v", now, s.tables)
	}
	var batch pgx.Batch
	for i, name := range s.tables {
		batch.Queue("DELETE FROM " + name)
		batch.Queue(fmt.Sprintf("INSERT INTO %s SELECT * FROM slate.t%d", name, i))
	}
	s.send(t, &batch)
}

// found returns every table that is not the server's own.
func (s *slate) found(t testing.TB) []string {
	t.Helper()
	rows, err := s.owner.Query(context.Background(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'slate') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		t.Fatalf("%d tables, %v", len(names), err)
	}
	return names
}

// send is one transaction.
func (s *slate) send(t testing.TB, batch *pgx.Batch) {
	t.Helper()
	if err := s.owner.SendBatch(context.Background(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}

// A slate that kept something of the trial before would let a lost event pass: the tables would be right already.
func TestASlateIsFreshAfterAWipe(t *testing.T) {
	t.Parallel()
	contents := func(s *slate) string {
		var all string
		for _, name := range s.tables {
			var text string
			err := s.owner.QueryRow(context.Background(), "SELECT coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '') FROM "+name+" x").Scan(&text)
			if err != nil {
				t.Fatal(err)
			}
			all += name + "\n" + text + "\n"
		}
		return all
	}
	s := slateOf(t, database(t), all(t))
	fresh := contents(s)
	if err := projectorOn(t, s.pool, shop(t, seeded(3), 5), projections.Config{}).RunToEnd(context.Background()); err != nil {
		t.Fatal(err)
	}
	if contents(s) == fresh {
		t.Fatal("the trial left nothing: it proves nothing")
	}
	s.wipe(t)
	if got := contents(s); got != fresh {
		t.Fatalf("got\n%s\nwant\n%s", got, fresh)
	}
}
