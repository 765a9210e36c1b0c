package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func files(bodies ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, body := range bodies {
		fsys["0000"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + body + "\n")}
	}
	return fsys
}

func TestMigrateRunsEachFileOnceHoweverManyStartAtOnce(t *testing.T) {
	ctx, url := context.Background(), testenv.Postgres(t)
	steps := files(`CREATE TABLE rows (id int PRIMARY KEY);`, `INSERT INTO rows VALUES (1);`)
	var wg sync.WaitGroup
	errs := make(chan error, 6)
	for range 6 {
		wg.Go(func() { errs <- postgres.Migrate(ctx, url, "order", steps) }) // a reserved word on purpose
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	pool, err := postgres.Open(ctx, url, postgres.Config{Schema: "order"})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var n int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM rows`).Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM "order".schema_version WHERE version_id > 0`).Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d versions in the schema's own table, %v", n, err)
	}
}

func TestTheSameFilesBuildSchemaBesideSchema(t *testing.T) {
	ctx, url := context.Background(), testenv.Postgres(t)
	for _, schema := range []string{"orders_v1", "orders_v2"} {
		if err := postgres.Migrate(ctx, url, schema, files(`CREATE TABLE rows (id int);`)); err != nil {
			t.Fatal(err)
		}
	}
	// A dropped schema is forgotten as a whole: the next migration builds it anew.
	pool, err := postgres.Open(ctx, url, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `DROP SCHEMA orders_v1 CASCADE`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(ctx, url, "orders_v1", files(`CREATE TABLE rows (id int);`)); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `SELECT * FROM orders_v1.rows, orders_v2.rows`); err != nil {
		t.Fatal(err)
	}
}

func TestABrokenFileIsRefusedAndLeavesNothingHalfDone(t *testing.T) {
	ctx, url := context.Background(), testenv.Postgres(t)
	err := postgres.Migrate(ctx, url, "relay", files("CREATE TABLE a (x int);\nCREATE TABLE a (x int);"))
	if fault.CodeOf(err) != "MIGRATION_REFUSED" {
		t.Fatalf("got %v", err)
	}
	if err := postgres.Migrate(ctx, url, "relay", files("CREATE TABLE a (x int);")); err != nil {
		t.Fatalf("the repaired file: %v", err)
	}
	if err := postgres.Migrate(ctx, url, `a"b`, files("SELECT 1;")); fault.CodeOf(err) != "SCHEMA_NAME_INVALID" {
		t.Fatalf("got %v", err)
	}
}

func TestOpenSaysWhatIsWrongWithoutThePassword(t *testing.T) {
	ctx := context.Background()
	for url, code := range map[string]string{
		"postgres://annal:hunter2@127.0.0.1:1/annal?sslmode=disable": "POSTGRES_UNAVAILABLE",
		"postgres://annal:hunter2@127.0.0.1:x/annal":                 "POSTGRES_URL_INVALID",
	} {
		_, err := postgres.Open(ctx, url, postgres.Config{})
		if fault.CodeOf(err) != code || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %s: %v", fault.CodeOf(err), err)
		}
	}
}

func TestTheServerEndsAStatementThatRunsAway(t *testing.T) {
	ctx := context.Background()
	pool, err := postgres.Open(ctx, testenv.Postgres(t), postgres.Config{StatementTimeout: 50e6})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var pgErr interface{ SQLState() string }
	_, err = pool.Exec(ctx, `SELECT pg_sleep(20)`)
	if !errors.As(err, &pgErr) || pgErr.SQLState() != "57014" {
		t.Fatalf("got %v", err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return nil }); err != nil {
		t.Fatalf("the pool is of no use afterwards: %v", err)
	}
}
