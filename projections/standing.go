package projections

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore"
)

// Standing is how far a live read model is, and whether it runs.
type Standing struct {
	Name     string
	Position eventstore.Position
	Status   string // "running", "paused", "failed"
}

// Running reports whether the projector moves it.
func (s Standing) Running() bool { return s.Status == "running" }

// Standings returns the live read models by name. Fault: POSTGRES_UNAVAILABLE.
func Standings(ctx context.Context, pool *pgxpool.Pool) (map[string]Standing, error) {
	rows, err := pool.Query(ctx, `SELECT name, position, status FROM projections.checkpoints WHERE live`)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Standing])
	if err != nil {
		return nil, unavailable(err)
	}
	named := make(map[string]Standing, len(all))
	for _, s := range all {
		named[s.Name] = s
	}
	return named, nil
}
