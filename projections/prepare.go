package projections

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Prepare brings the catalogue (schema projections) up to date and makes the table of every projection version that has
// none, in a schema <name>_v<version> of its own. The first version of a name becomes the live one: schema read has a view of it,
// which is what queries read. Each projection is one transaction, so a broken SQL file leaves nothing half done. Any
// number of processes may prepare at once.
//
// Faults: PROJECTION_CHANGED if a known version has other SQL or categories (raise its version), SQL_REFUSED,
// POSTGRES_UNAVAILABLE, MIGRATION_REFUSED.
func Prepare(ctx context.Context, pool *pgxpool.Pool, projections []Projection) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fault.Wrap(err, fault.Internal, "MIGRATION_REFUSED", "the catalogue's migrations can't be read")
	}
	if err := postgres.Migrate(ctx, pool.Config().ConnString(), "projections", files); err != nil {
		return err
	}
	for _, p := range projections {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return p.prepare(ctx, tx) })
		if err != nil {
			return unavailable(err)
		}
	}
	return nil
}

func (p Projection) prepare(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('annal projection ' || $1, 0))`, p.name); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(p.sql))
	hash, categories := hex.EncodeToString(sum[:]), texted(p.categories)
	var oldHash string
	var oldCategories []string
	const known = `SELECT sql_hash, categories FROM projections.checkpoints WHERE name = $1 AND version = $2`
	err := tx.QueryRow(ctx, known, p.name, p.version).Scan(&oldHash, &oldCategories)
	switch {
	case err == nil && (oldHash != hash || !slices.Equal(oldCategories, categories)):
		return fault.Newf(fault.Conflict, "PROJECTION_CHANGED",
			"projection %s v%d has other SQL or categories than its table was made with; raise its version", p.name, p.version)
	case err == nil:
		return nil
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	if err := p.create(ctx, tx); err != nil {
		return fault.Wrap(err, fault.Internal, "SQL_REFUSED", "the SQL of projection "+p.name+" does not work")
	}
	return p.register(ctx, tx, hash, categories)
}

// create makes schema and table. The SQL names no schema: search_path is the projection's for as long as it runs.
func (p Projection) create(ctx context.Context, tx pgx.Tx) error {
	schema := pgx.Identifier{p.table.schema}.Sanitize()
	for _, sql := range []string{"CREATE SCHEMA " + schema, "SET LOCAL search_path TO " + schema} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	// Several statements in one file: the simple protocol.
	if _, err := tx.Conn().PgConn().Exec(ctx, p.sql).ReadAll(); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, p.table.load, []string{}); err != nil { // every column of the row type is there
		return err
	}
	_, err := tx.Exec(ctx, "SET LOCAL search_path TO DEFAULT")
	return err
}

// register enters the version into the catalogue, and shows it if it is the name's first.
func (p Projection) register(ctx context.Context, tx pgx.Tx, hash string, categories []string) error {
	const insert = `INSERT INTO projections.checkpoints (name, version, categories, sql_hash, live)
		SELECT $1, $2, $3, $4, NOT EXISTS (SELECT FROM projections.checkpoints WHERE name = $1 AND live) RETURNING live`
	var live bool
	if err := tx.QueryRow(ctx, insert, p.name, p.version, categories, hash).Scan(&live); err != nil || !live {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE VIEW "+pgx.Identifier{"read", p.name}.Sanitize()+" AS SELECT * FROM "+
		pgx.Identifier{p.table.schema, p.name}.Sanitize())
	return err
}
