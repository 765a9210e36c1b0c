package projections_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// What deploy/postgres/forget-derived.sql drops is Annal's and derived, whatever else is called like it.
func TestForgettingWhatIsDerivedLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	pool := database(t)
	script, err := os.ReadFile(filepath.Join("..", "deploy", "postgres", "forget-derived.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"CREATE SCHEMA vault", "CREATE SCHEMA reports_v2", "CREATE SCHEMA sagas", string(script), string(script)} {
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
