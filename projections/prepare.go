package projections

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Names of schemas: of the catalogue, and of the views that queries read.
const (
	catalogue = "projections"
	views     = "read"
)

// Migrations returns the catalogue's files.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) //nolint:forbidigo // the folder is compiled in
	}
	return sub
}

// Owned are the schemas that Prepare makes, with their rights: the projector writes rows and makes no table, queries see the
// views and how far they are.
func Owned(projections []Projection) []postgres.Schema {
	owned := []postgres.Schema{{Name: catalogue, Files: Migrations(), Rights: postgres.Rights{
		"checkpoints": {postgres.Projector: "SELECT UPDATE", postgres.Queries: "SELECT"},
		"parked":      {postgres.Projector: "SELECT INSERT UPDATE DELETE"},
		"advance()":   {postgres.Projector: "EXECUTE"},
	}}}
	shown := postgres.Rights{}
	for _, p := range projections {
		shown[p.name] = map[postgres.Service]string{postgres.Queries: "SELECT"}
		owned = append(owned, postgres.Schema{Name: p.table.schema, Rights: postgres.Rights{p.name: {postgres.Projector: "SELECT INSERT UPDATE"}}})
	}
	return append(owned, postgres.Schema{Name: views, Rights: shown})
}

// Prepared reports whether somebody has prepared the projections, for a process that may not: any pool that may read the
// catalogue will do. Faults: SCHEMA_BEHIND, PROJECTION_CHANGED, POSTGRES_UNAVAILABLE.
func Prepared(ctx context.Context, pool *pgxpool.Pool, projections []Projection) error {
	for _, p := range projections {
		known, err := p.known(ctx, pool)
		if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42501") {
			known, err = false, nil // no catalogue, or no right to it yet
		}
		if err == nil && !known {
			err = postgres.Behind(fmt.Sprintf("read model %s v%d", p.name, p.version))
		}
		if err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// Prepare brings the catalogue (schema projections) up to date and makes the table of every projection version that has
// none, in a schema <name>_v<version> of its own. The first version of a name becomes the live one: schema read has a view of it,
// which is what queries read. Each projection is one transaction, so a broken SQL file leaves nothing half done. Any
// number of processes may prepare at once.
//
// The pool is the owner's. What the services may do with what is made is said by Owned.
//
// Faults: PROJECTION_CHANGED if a known version has other SQL or categories (raise its version), SQL_REFUSED,
// POSTGRES_UNAVAILABLE, MIGRATION_REFUSED.
func Prepare(ctx context.Context, pool *pgxpool.Pool, projections []Projection) error {
	if err := postgres.Migrate(ctx, pool.Config().ConnString(), catalogue, Migrations()); err != nil {
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
	if known, err := p.known(ctx, tx); err != nil || known {
		return err
	}
	if err := p.create(ctx, tx); err != nil {
		return fault.Wrap(err, fault.Internal, "SQL_REFUSED", "the SQL of projection "+p.name+" does not work")
	}
	return p.register(ctx, tx)
}

// querier is what a pool and a transaction have in common.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// known reports whether the catalogue has this version, made of the same SQL and categories.
func (p Projection) known(ctx context.Context, db querier) (bool, error) {
	var hash string
	var categories []string
	const sql = `SELECT sql_hash, categories FROM projections.checkpoints WHERE name = $1 AND version = $2`
	err := db.QueryRow(ctx, sql, p.name, p.version).Scan(&hash, &categories)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err == nil && (hash != p.hash() || !slices.Equal(categories, texted(p.categories))) {
		err = fault.Newf(fault.Conflict, "PROJECTION_CHANGED",
			"projection %s v%d has other SQL or categories than its table was made with; raise its version", p.name, p.version)
	}
	return err == nil, err
}

func (p Projection) hash() string {
	sum := sha256.Sum256([]byte(p.sql))
	return hex.EncodeToString(sum[:])
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
func (p Projection) register(ctx context.Context, tx pgx.Tx) error {
	const insert = `INSERT INTO projections.checkpoints (name, version, categories, sql_hash, live)
		SELECT $1, $2, $3, $4, NOT EXISTS (SELECT FROM projections.checkpoints WHERE name = $1 AND live) RETURNING live`
	var live bool
	if err := tx.QueryRow(ctx, insert, p.name, p.version, texted(p.categories), p.hash()).Scan(&live); err != nil || !live {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE VIEW "+pgx.Identifier{views, p.name}.Sanitize()+" AS SELECT * FROM "+
		pgx.Identifier{p.table.schema, p.name}.Sanitize())
	return err
}
