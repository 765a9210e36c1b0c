package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/projections"
	"github.com/annalhq/annal/relay"
	"github.com/annalhq/annal/sagas"
)

// knock asks for a database before anything is opened: a start that can't succeed ends at once. Only a store by itself needs none.
func (d *Daemon) knock(ctx context.Context) error {
	if !d.asked.all && len(d.asked.roles) == 1 && d.asked.has(roleEventStore) {
		return nil
	}
	return d.cfg.Postgres().Knock(ctx)
}

// schema leaves the service's schema ready and returns a pool that may use nothing else.
func (d *Daemon) schema(ctx context.Context, s postgres.Service, schema postgres.Schema) (*pgxpool.Pool, error) {
	if err := d.cfg.Postgres().Ready(ctx, s, schema); err != nil {
		return nil, err
	}
	return d.pool(ctx, s, postgres.Config{Schema: schema.Name})
}

// readModels leaves the read models' tables and views ready and returns the service's pool to them. Readiness is told how far they are.
// REQUIRES: the store is open.
func (d *Daemon) readModels(ctx context.Context, s postgres.Service) ([]projections.Projection, *pgxpool.Pool, error) {
	if d.house.models == nil && d.cfg.PostgresURL != "" {
		all, err := makeReadModels(ctx, d.cfg)
		if err != nil {
			return nil, nil, err
		}
		d.house.models = all
	}
	// No projection's transaction of the API writes: what would is a mistake.
	pool, err := d.pool(ctx, s, postgres.Config{ReadOnly: s == postgres.Queries})
	if err != nil {
		return nil, nil, err
	}
	if d.house.models == nil {
		if d.house.models, err = projections.All(projections.Settings{Location: d.cfg.Location()}); err != nil {
			return nil, nil, err
		}
		if err := projections.Prepared(ctx, pool, d.house.models); err != nil {
			return nil, nil, err
		}
	}
	if !d.house.lagTold {
		d.house.lagTold = true
		d.tellLag(pool, d.house.models)
	}
	return d.house.models, pool, nil
}

// makeReadModels makes the tables, views and rights with the owner's login.
func makeReadModels(ctx context.Context, cfg config.Config) ([]projections.Projection, error) {
	all, err := projections.All(projections.Settings{Location: cfg.Location()})
	if err != nil {
		return nil, err
	}
	owner, err := postgres.Open(ctx, cfg.PostgresURL, postgres.Config{MaxConns: 1, Application: "annald owner"})
	if err != nil {
		return nil, err
	}
	defer owner.Close()
	if err := projections.Prepare(ctx, owner, all); err != nil {
		return nil, err
	}
	return all, cfg.Postgres().Grant(ctx, projections.Owned(all)...)
}

// pool opens a service's pool, to be closed with the daemon and asked for readiness.
func (d *Daemon) pool(ctx context.Context, s postgres.Service, cfg postgres.Config) (*pgxpool.Pool, error) {
	cfg.MaxConns, cfg.Application = d.cfg.PostgresMaxConns, "annald "+string(s)
	pool, err := d.cfg.Postgres().Open(ctx, s, cfg)
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { pool.Close(); return nil })
	d.checks = append(d.checks, run.Check{Name: "postgres " + string(s), Probe: func(ctx context.Context) error {
		return fault.Wrap(pool.Ping(ctx), fault.Unavailable, "POSTGRES_UNAVAILABLE", "PostgreSQL does not answer")
	}})
	return pool, nil
}

// migrate is `annald --migrate`: all schemas, roles and rights, and the logins of the services whose URLs it is given.
func migrate(ctx context.Context, cfg config.Config) error {
	if cfg.PostgresURL == "" {
		return fault.New(fault.Invalid, "SETTING_INVALID", "ANNAL_POSTGRES_URL is not set; migrating takes the login that owns the schemas")
	}
	access := cfg.Postgres()
	for _, err := range []error{
		access.Ready(ctx, postgres.Relay, relay.Owned()),
		access.Ready(ctx, postgres.Sagas, sagas.Owned()),
		access.Ready(ctx, postgres.Vault, vault.Owned()),
	} {
		if err != nil {
			return err
		}
	}
	if _, err := makeReadModels(ctx, cfg); err != nil {
		return err
	}
	return access.Logins(ctx)
}
