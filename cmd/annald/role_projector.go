package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/projections"
)

// historyBatch is how many events a projection that is behind its group reads at a time.
const historyBatch = 1000

// buildProjector wires the role projector: the group of all read models over the queue projections.events.
func buildProjector(ctx context.Context, d *Daemon) error {
	store, err := d.store()
	if err != nil {
		return err
	}
	broker, _, err := d.rabbit()
	if err != nil {
		return err
	}
	all, pool, err := d.readModels(ctx, postgres.Projector)
	if err != nil {
		return err
	}
	projector, err := projections.New(pool, projections.Config{Projections: all, History: projections.FromStore(store, historyBatch), Logger: d.log})
	if err != nil {
		return err
	}
	consumer, err := feed.New(store, broker, projector, feed.Config{Name: "projections", Queue: "projections.events",
		Categories: projector.Categories(), Registerer: d.registry, Logger: d.log})
	if err != nil {
		return err
	}
	d.parts = append(d.parts, run.Part{Name: "projector", Run: func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return projector.Run(ctx) })
		group.Go(func() error { return consumer.Run(ctx) })
		return group.Wait()
	}})
	return nil
}
