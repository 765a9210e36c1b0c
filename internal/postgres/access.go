package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
)

// Access says how a process reaches the database.
//
// With the owner's URL alone it migrates, makes the roles, and each pool acts in its service's role: a wall against our own
// mistakes, not against a process that was taken over, since the session belongs to the owner (SET ROLE NONE). With a
// URL of the service's own it needs no owner: that is the wall between processes.
type Access struct {
	Owner    string             // URL of the login that owns the schemas; empty: this process migrates nothing
	Own      map[Service]string // URLs of logins that are, or may act as, one service's role
	OneLogin bool               // there are no roles: everybody acts as the login of their URL
}

// url returns where the service connects.
func (a Access) url(s Service) (string, error) {
	if own := a.Own[s]; own != "" {
		return own, nil
	}
	if a.Owner == "" {
		return "", fault.Newf(fault.Invalid, "SETTING_INVALID",
			"neither %s nor ANNAL_POSTGRES_URL is set; `make run` sets the latter, or name a server of your own", setting(s))
	}
	return a.Owner, nil
}

func setting(s Service) string { return "ANNAL_POSTGRES_" + strings.ToUpper(string(s)) + "_URL" }

// Knock reports whether the database of the owner answers; without an owner, whether any service has a URL.
// Faults: SETTING_INVALID, and those of Open.
func (a Access) Knock(ctx context.Context) error {
	if a.Owner == "" {
		for _, url := range a.Own {
			if url != "" {
				return nil
			}
		}
		return fault.New(fault.Invalid, "SETTING_INVALID", "ANNAL_POSTGRES_URL is not set, nor a URL of a service's own; `make run` sets it, or name a server of your own")
	}
	pool, err := Open(ctx, a.Owner, Config{MaxConns: 1, Application: "annal-look"})
	if err == nil {
		pool.Close()
	}
	return err
}

// Open returns the service's pool: its login, its role, its bounds. What is true of Open is true here.
//
// Faults: SETTING_INVALID without a URL, POSTGRES_URL_INVALID, POSTGRES_UNAVAILABLE, POSTGRES_ROLE_MISSING before the owner
// has migrated, POSTGRES_ROLE_REFUSED for a login that may not act as the service's role.
func (a Access) Open(ctx context.Context, s Service, cfg Config) (*pgxpool.Pool, error) {
	url, err := a.url(s)
	if err != nil {
		return nil, err
	}
	cfg.service, cfg.ownRole = s, !a.OneLogin
	pool, err := Open(ctx, url, cfg)
	if err != nil {
		return nil, roleFault(err, s)
	}
	return pool, nil
}

// roleFault names what a refused connection means: the server answers with these before it takes a query.
func roleFault(err error, s Service) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == "22023" && strings.Contains(pg.Message, "role"): // invalid value for the parameter role: there is none
		return fault.Newf(fault.Missing, "POSTGRES_ROLE_MISSING",
			"the database has no role for %s yet; start any role of annald, or `annald --migrate`, once with ANNAL_POSTGRES_URL", s)
	case pg.Code == "42501":
		return fault.Newf(fault.Denied, "POSTGRES_ROLE_REFUSED", "the login may not act as the role of %s: %s", s, pg.Message)
	case pg.Code == "28P01" || pg.Code == "28000":
		return fault.Newf(fault.Denied, "POSTGRES_LOGIN_REFUSED", "PostgreSQL refuses the login of %s: %s", s, pg.Message)
	}
	return err
}

// Ready leaves the schema as its newest files make it and its rights as it states them, if this process has the owner's URL.
// Otherwise it looks, as the service would, whether somebody did.
//
// Faults: those of Migrate, Grant and Open; SCHEMA_BEHIND if only the owner could bring the schema up to date.
func (a Access) Ready(ctx context.Context, s Service, schema Schema) error {
	if a.Owner == "" {
		return a.current(ctx, s, schema)
	}
	if err := Migrate(ctx, a.Owner, schema.Name, schema.Files); err != nil {
		return err
	}
	return a.Grant(ctx, schema)
}

func (a Access) current(ctx context.Context, s Service, schema Schema) error {
	want, err := newest(schema.Files)
	if err != nil {
		return err
	}
	pool, err := a.Open(ctx, s, Config{MaxConns: 1, Application: "annal-look", Schema: schema.Name})
	if err != nil {
		return err
	}
	defer pool.Close()
	var have int64
	err = pool.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied`).Scan(&have)
	if missing := (*pgconn.PgError)(nil); errors.As(err, &missing) && (missing.Code == "42P01" || missing.Code == "42501") {
		err = nil // no such table, or no right to it: nobody migrated and granted
	}
	if err != nil {
		return unavailable(err)
	}
	if have < want {
		return Behind(schema.Name)
	}
	return nil
}

// Behind is the fault of a process that finds less in the database than it needs and has no owner's login to make it.
func Behind(what string) error {
	return fault.Newf(fault.Unavailable, "SCHEMA_BEHIND",
		"%s in the database is older than this build; run `annald --migrate` of this build with ANNAL_POSTGRES_URL", what)
}
