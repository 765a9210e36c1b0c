// Package postgres opens Annal's connection pools and brings schemas up to date.
//
// One database serves all services, with a schema and a role for each (docs/adr/0001-schema-per-service.md) instead of
// a database server for each. What a service keeps here is derived, like read models, timers, vault keys and the
// relay's checkpoint; orders themselves are in the event store.
//
//	Access   who connects how: the owner's login, logins of services' own, or both (access.go)
//	Service  who acts here, the name of its role, the bounds of its sessions (service.go)
//	Schema   a schema, its files, and who may do what with each table (rights.go)
//
// Open gives a pool whose every query is a span of the caller's trace (without its parameters: they may be personal) and
// whose sessions carry bounds: a statement that runs away, a wait for a lock and a transaction that was forgotten end by the
// server's hand. Access.Open gives the same to a service, acting in its role.
//
// The owner's login makes schemas, tables and roles, and services only use them: a role has the rights on tables that its
// schema's Rights name, and nothing else anywhere. Grant compares what is with what should be and changes the difference, so
// a database of an older build, a restored one or one that somebody changed by hand is right after the next start.
//
// Migrate runs a service's embedded SQL files, in goose's format and order, inside the service's own schema. Invariants:
// the version table lives in that schema, so a schema that is dropped is forgotten as a whole; a session advisory lock
// named after the schema lets any number of processes start at once and one of them work. The files name no
// schema: search_path is the schema, so the same files can build version after version of a read model.
//
// Faults: POSTGRES_URL_INVALID (invalid), POSTGRES_UNAVAILABLE (unavailable: worth a retry), MIGRATION_REFUSED (internal:
// a defect of the files or of the database's history), SCHEMA_NAME_INVALID (invalid); of roles POSTGRES_ROLES_REFUSED,
// POSTGRES_ROLE_REFUSED, POSTGRES_LOGIN_REFUSED, POSTGRES_ROLE_UNFIT (denied: an administrator must act, the message says how),
// POSTGRES_ROLE_MISSING (missing), SCHEMA_BEHIND (unavailable), RIGHTS_REFUSED (denied) and RIGHTS_WRONG (internal).
package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
)

// BeginAnew ends the message of whoever refuses to run because what stands here follows from another event store, or from events that a
// restored one does not have: the one cure that there is, and the page with its steps.
const BeginAnew = "stop annald, run deploy/postgres/forget-derived.sql on the database and start it again: what follows from events is made anew " +
	"(docs/operations.md, \"Another event store, or a restored one\")"

// Config bounds a pool. The zero value is fit for use.
type Config struct {
	MaxConns          int32         // connections at most; default 8, since many processes share the server's 300
	Application       string        // application_name in pg_stat_activity; default annal
	ConnectTimeout    time.Duration // for one connection, and for Open's own ping; default 5 s
	StatementTimeout  time.Duration // the server ends a longer statement; default the service's bound, negative: none (rebuilds)
	LockTimeout       time.Duration // the server ends a longer wait for a lock; likewise
	IdleInTransaction time.Duration // the server ends a session that idles longer inside a transaction; likewise
	Schema            string        // search_path; default that of the database
	ReadOnly          bool          // transactions change nothing unless they say so

	service Service // whose bounds these are; zero: the owner's
	ownRole bool    // act in the service's role
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = 8
	}
	if c.Application == "" {
		c.Application = "annal"
	}
	c.ConnectTimeout = otherwise(c.ConnectTimeout, 5*time.Second)
	b := c.service.bounds()
	c.StatementTimeout = max(0, otherwise(c.StatementTimeout, b.statement))
	c.LockTimeout = max(0, otherwise(c.LockTimeout, b.lock))
	c.IdleInTransaction = max(0, otherwise(c.IdleInTransaction, b.idle))
	return c
}

func otherwise(d, unset time.Duration) time.Duration {
	if d == 0 {
		return unset
	}
	return d
}

// Open returns a pool of connections to url after one of them has answered. The caller closes it.
//
// Faults: POSTGRES_URL_INVALID, POSTGRES_UNAVAILABLE, POSTGRES_LOGIN_REFUSED, POSTGRES_DATABASE_MISSING.
func Open(ctx context.Context, url string, cfg Config) (*pgxpool.Pool, error) {
	cfg = cfg.withDefaults()
	pc, err := poolConfig(url, cfg)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, unavailable(err)
	}
	ping, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	if err := pool.Ping(ping); err != nil {
		pool.Close()
		return nil, unavailable(err)
	}
	return pool, nil
}

func poolConfig(url string, cfg Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fault.New(fault.Invalid, "POSTGRES_URL_INVALID", // the cause would repeat the URL
			"the PostgreSQL URL can't be read; its form is postgres://user:password@host:5432/database")
	}
	pc.MaxConns = cfg.MaxConns
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pc.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithDisableConnectionDetailsInAttributes())
	params := pc.ConnConfig.RuntimeParams
	params["application_name"] = cfg.Application
	params["timezone"] = "UTC"
	params["statement_timeout"] = milliseconds(cfg.StatementTimeout)
	params["lock_timeout"] = milliseconds(cfg.LockTimeout)
	params["idle_in_transaction_session_timeout"] = milliseconds(cfg.IdleInTransaction)
	if cfg.ReadOnly {
		params["default_transaction_read_only"] = "on"
	}
	if cfg.ownRole {
		// Given with the connection, it is what RESET ROLE and DISCARD ALL come back to.
		params["role"] = RoleName(databaseOf(pc.ConnConfig), cfg.service)
	}
	if cfg.Schema != "" {
		name, err := quoteSchema(cfg.Schema)
		if err != nil {
			return nil, err
		}
		params["search_path"] = name
	}
	return pc, nil
}

// databaseOf is the database that a connection opens: PostgreSQL takes the user's name if none is said.
func databaseOf(c *pgx.ConnConfig) string {
	if c.Database == "" {
		return c.User
	}
	return c.Database
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// unavailable says why the server can't be used. The cause, for logs and terminals, names host and port; no password is in it.
func unavailable(err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000":
			return fault.Wrap(err, fault.Denied, "POSTGRES_LOGIN_REFUSED", "PostgreSQL refuses the login; check user and password in ANNAL_POSTGRES_URL or the service's own URL")
		case "3D000":
			return fault.Wrap(err, fault.Missing, "POSTGRES_DATABASE_MISSING", "there is no such database; create it, or check the name in ANNAL_POSTGRES_URL or the service's own URL")
		}
	}
	return fault.Wrap(err, fault.Unavailable, "POSTGRES_UNAVAILABLE", "PostgreSQL does not answer; try again")
}
