package main

import (
	"context"

	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/relay"
)

// buildRelay wires the role relay: relay from $all to RabbitMQ.
func buildRelay(ctx context.Context, d *Daemon) error {
	store, err := d.store()
	if err != nil {
		return err
	}
	broker, _, err := d.rabbit()
	if err != nil {
		return err
	}
	pool, err := d.schema(ctx, postgres.Relay, relay.Owned())
	if err != nil {
		return err
	}
	r, err := relay.New(store, broker, pool, relay.Config{Registerer: d.registry, Logger: d.log})
	if err != nil {
		return err
	}
	d.parts = append(d.parts, run.Part{Name: "relay", Run: r.Run})
	return nil
}
