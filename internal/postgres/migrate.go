package postgres

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/annalhq/annal/internal/fault"
)

// versionTable is goose's book of what was applied, one in each schema.
const versionTable = "schema_version"

// Migrate brings schema up to the newest of fsys's goose files (00001_name.sql at the root of fsys), creating the schema
// if there is none. Whoever comes second waits for the first and finds nothing to do.
//
// Faults: POSTGRES_URL_INVALID, SCHEMA_NAME_INVALID, POSTGRES_UNAVAILABLE, MIGRATION_REFUSED.
func Migrate(ctx context.Context, url, schema string, fsys fs.FS) error {
	pc, err := poolConfig(url, Config{Application: "annal-migrate", Schema: schema, StatementTimeout: -1}.withDefaults())
	if err != nil {
		return err
	}
	quoted, err := quoteSchema(schema)
	if err != nil {
		return err
	}
	pc.ConnConfig.Tracer = nil // a start-up's own queries are nobody's trace
	db := stdlib.OpenDB(*pc.ConnConfig)
	err = withLock(ctx, db, schema, func() error { return up(ctx, db, quoted, fsys) })
	if cerr := db.Close(); err == nil {
		err = unavailable(cerr)
	}
	return err
}

// withLock holds the lock on a session of its own. Closing the session gives it back, whatever happened on it.
func withLock(ctx context.Context, db *sql.DB, schema string, f func() error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return unavailable(err)
	}
	const patience = `SELECT set_config('lock_timeout', '0', false)` // whoever comes second waits as long as the first works
	const lock = `SELECT pg_advisory_lock(hashtextextended('annal migrate ' || $1, 0))`
	if _, err = conn.ExecContext(ctx, patience); err == nil {
		_, err = conn.ExecContext(ctx, lock, schema)
	}
	if err == nil {
		err = f()
	}
	// The pool is closed next by our caller, and with it the session and its lock.
	return errors.Join(unavailable(err), unavailable(ignoreDone(conn.Close())))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

func up(ctx context.Context, db *sql.DB, quoted string, fsys fs.FS) error {
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted); err != nil {
		return refused(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, fsys,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return refused(err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return refused(err)
	}
	return nil
}

// newest returns the version of the newest file.
func newest(fsys fs.FS) (int64, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return 0, refused(err)
	}
	var last int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, refused(err)
		}
		last = max(last, version)
	}
	return last, nil
}

func refused(err error) error {
	return fault.Wrap(err, fault.Internal, "MIGRATION_REFUSED", "a schema can't be brought up to date")
}

// quoteSchema allows the names that need no second thought anywhere; reserved words like order are fine in quotes.
func quoteSchema(name string) (string, error) {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`).MatchString(name) {
		return "", fault.Newf(fault.Invalid, "SCHEMA_NAME_INVALID", "a schema name is 1 to 63 of a-z, 0-9 and _, beginning with a letter; %q is not", name)
	}
	return pgx.Identifier{name}.Sanitize(), nil
}
