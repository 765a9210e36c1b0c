package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	testPrefix     = "annal_test_"
	halfPrefix     = "annal_half_" // a template that is still being migrated
	templatePrefix = "annal_tmpl_"
)

// Postgres returns the URL of a new, empty database of this test's own, dropped when the test ends, and with it the roles
// whose names begin with the database's and _.
func Postgres(t testing.TB) string {
	t.Helper()
	return clone(t, "template0")
}

// PostgresFrom returns the URL of a new database of this test's own that is a copy of what migrate makes. migrate runs
// once for a name and a test binary (the binary holds the SQL files, so a changed file is another binary), however many
// tests and processes ask; it must close what it opens.
func PostgresFrom(t testing.TB, name string, migrate func(url string) error) string {
	t.Helper()
	if !regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`).MatchString(name) {
		t.Fatalf("testenv: template name %q: want 1 to 16 of a-z and 0-9", name)
	}
	return clone(t, template(t, templatePrefix+name+"_"+binaryHash(t)+"_", migrate))
}

func clone(t testing.TB, source string) string {
	t.Helper()
	name := freshName(testPrefix)
	admin(t, func(ctx context.Context, conn *pgx.Conn) error {
		sweep(ctx, t, conn)
		return createDatabase(ctx, conn, name, source)
	})
	t.Cleanup(func() {
		admin(t, func(ctx context.Context, conn *pgx.Conn) error { return dropDatabase(ctx, conn, name) })
	})
	return databaseURL(t, name)
}

// template returns the database that begins with prefix and makes it if there is none. It is migrated under another name
// and renamed when it is whole; an advisory lock keeps a second process from doing the same.
func template(t testing.TB, prefix string, migrate func(string) error) (found string) {
	t.Helper()
	admin(t, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, prefix); err != nil {
			return err
		}
		err := conn.QueryRow(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1 DESC LIMIT 1`, prefix).Scan(&found)
		// One that is soon a leftover could be swept between here and its cloning.
		if soon := strings.TrimPrefix(found, prefix); err == nil && age(soon) < tooOld/2 {
			return nil
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		half := freshName(halfPrefix)
		if err := createDatabase(ctx, conn, half, "template0"); err != nil {
			return err
		}
		if err := migrate(databaseURL(t, half)); err != nil {
			return errors.Join(err, dropDatabase(ctx, conn, half))
		}
		found = freshName(prefix)
		return rename(ctx, conn, half, found)
	})
	return found
}

// rename ends the sessions that migrate left, since a renamed database may have none.
func rename(ctx context.Context, conn *pgx.Conn, from, to string) error {
	return patiently(ctx, func() error {
		if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, from); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{from}.Sanitize()+" RENAME TO "+pgx.Identifier{to}.Sanitize())
		return err
	})
}

func createDatabase(ctx context.Context, conn *pgx.Conn, name, source string) error {
	return patiently(ctx, func() error {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE "+pgx.Identifier{source}.Sanitize())
		return err
	})
}

func dropDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	err := patiently(ctx, func() error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return err
	}
	return dropRoles(ctx, conn, name)
}

// dropRoles drops what was made for the database that is gone: roles belong to the server, and their rights went with it.
func dropRoles(ctx context.Context, conn *pgx.Conn, database string) error {
	rows, err := conn.Query(ctx, `SELECT quote_ident(rolname) FROM pg_roles WHERE starts_with(rolname, $1)`, database+"_")
	if err != nil {
		return err
	}
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(roles) == 0 {
		return err
	}
	_, err = conn.Exec(ctx, "DROP ROLE IF EXISTS "+strings.Join(roles, ", "))
	return err
}

// patiently repeats f while the database is in use by a session that is just ending (SQLSTATE 55006): an autovacuum, or
// a connection whose client is gone.
func patiently(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55006" || attempt == 20 {
			return err
		}
		timer := time.NewTimer(time.Duration(attempt) * 20 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// sweep drops what killed tests left. Another test may do the same at the same moment, so a failure is only told.
func sweep(ctx context.Context, t testing.TB, conn *pgx.Conn) {
	t.Helper()
	// A test killed between the two leaves roles of a database that is gone.
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE 'annal\_%\_%'
		UNION SELECT substring(rolname FROM '^(annal_[a-z]+_[0-9a-z]+_[0-9a-z]+)_') FROM pg_roles WHERE rolname ~ '^annal_(test|half)_[0-9a-z]+_[0-9a-z]+_'`)
	if err != nil {
		t.Logf("testenv: listing databases: %v", err)
		return
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Logf("testenv: listing databases: %v", err)
		return
	}
	for _, name := range names {
		if !leftover(name, testPrefix) && !leftover(name, halfPrefix) && !leftoverTemplate(name) {
			continue
		}
		if err := dropDatabase(ctx, conn, name); err != nil {
			t.Logf("testenv: dropping the leftover %s: %v", name, err)
		}
	}
}

// leftoverTemplate: annal_tmpl_<name>_<hash>_<time>_<chance>. One that is still wanted is made again.
func leftoverTemplate(name string) bool {
	parts := strings.SplitN(strings.TrimPrefix(name, templatePrefix), "_", 3)
	return strings.HasPrefix(name, templatePrefix) && len(parts) == 3 && age(parts[2]) > tooOld
}

// admin runs f on a connection of its own to the database of ANNAL_POSTGRES_URL.
func admin(t testing.TB, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, setting(t, "ANNAL_POSTGRES_URL"))
	if err != nil {
		t.Fatalf("PostgreSQL does not answer: run `make servers` (%v)", err)
	}
	if err := errors.Join(f(ctx, conn), conn.Close(ctx)); err != nil {
		t.Fatalf("testenv: PostgreSQL: %v", err)
	}
}

func databaseURL(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(setting(t, "ANNAL_POSTGRES_URL"))
	if err != nil {
		t.Fatal("testenv: ANNAL_POSTGRES_URL is not a URL")
	}
	u.Path = "/" + name
	return u.String()
}

// binaryHash identifies the test binary and with it everything embedded in it.
func binaryHash(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}
