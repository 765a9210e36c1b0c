package main

import (
	"context"

	"github.com/annalhq/annal/console"
	"github.com/annalhq/annal/graph"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/queries"
)

// buildAPI wires the role api: graph at /graphql of d.mux. Commands run in this process; queries read the read models.
func buildAPI(ctx context.Context, d *Daemon) error {
	handlers, err := d.commands(ctx)
	if err != nil {
		return err
	}
	reads, err := d.queries(ctx)
	if err != nil {
		return err
	}
	seed, err := d.cfg.TokenSeed()
	if err != nil {
		return err
	}
	key, err := auth.NewKey(seed)
	if err != nil {
		return err
	}
	api, err := graph.New(graph.Deps{Commands: handlers, Queries: reads, Verify: key.Verify, Registerer: d.registry, Logger: d.log},
		graph.Config{HideSchema: d.cfg.Mode == config.Production})
	if err != nil {
		return err
	}
	d.mux.Handle("/graphql", api)
	page, err := console.GraphiQL()
	if err != nil {
		return fault.Wrap(err, fault.Internal, "CONSOLE_MISSING", "the embedded console can't be read")
	}
	d.mux.Handle("/graphiql", page)
	d.mux.Handle("/graphiql/", page)
	d.parts = append(d.parts, run.Part{Name: "queries", Run: reads.Run})
	return nil
}

// queries returns what reads the read models. An API may start before its projector: who comes first makes the tables.
func (d *Daemon) queries(ctx context.Context) (*queries.Queries, error) {
	store, err := d.store()
	if err != nil {
		return nil, err
	}
	keys, err := d.keys(ctx)
	if err != nil {
		return nil, err
	}
	_, pool, err := d.readModels(ctx, postgres.Queries)
	if err != nil {
		return nil, err
	}
	return queries.New(pool, keys, store, queries.Config{Logger: d.log})
}
