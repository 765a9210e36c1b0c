package main

import (
	"context"
	"slices"

	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/sagas"
)

// sagaContext is the name in worker=... that runs the process managers; every other name is a service's command queue.
const sagaContext = "sagas"

// buildWorker wires the role worker: the command workers of d.asked.contexts, and the sagas; everything if none is named.
func buildWorker(ctx context.Context, d *Daemon) error {
	services := slices.DeleteFunc(slices.Clone(d.asked.contexts), func(c string) bool { return c == sagaContext })
	everything := len(d.asked.contexts) == 0
	if everything || len(services) > 0 {
		if err := d.buildServices(ctx, services); err != nil {
			return err
		}
	}
	if everything || slices.Contains(d.asked.contexts, sagaContext) {
		return d.buildSagas(ctx)
	}
	return nil
}

func (d *Daemon) buildServices(ctx context.Context, services []string) error {
	handlers, err := d.commands(ctx)
	if err != nil {
		return err
	}
	_, bus, err := d.rabbit()
	if err != nil {
		return err
	}
	worker, err := sagas.NewWorker(bus, handlers, sagas.WorkerConfig{Services: services, Logger: d.log})
	if err != nil {
		return err
	}
	d.parts = append(d.parts, run.Part{Name: "worker", Run: worker.Run})
	return nil
}

func (d *Daemon) buildSagas(ctx context.Context) error {
	store, err := d.store()
	if err != nil {
		return err
	}
	broker, bus, err := d.rabbit()
	if err != nil {
		return err
	}
	pool, err := d.schema(ctx, postgres.Sagas, sagas.Owned())
	if err != nil {
		return err
	}
	s, err := sagas.New(store, broker, bus, pool, sagas.Config{Registerer: d.registry, Logger: d.log})
	if err != nil {
		return err
	}
	d.parts = append(d.parts, run.Part{Name: "sagas", Run: s.Run})
	return nil
}
