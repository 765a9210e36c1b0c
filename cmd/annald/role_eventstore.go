package main

import (
	"context"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/internal/run"
)

// buildEventStore wires the role eventstore: eventstore/engine behind eventstore/server at ANNAL_EVENTSTORE_LISTEN.
func buildEventStore(ctx context.Context, d *Daemon) error {
	listener, err := run.Listen(ctx, "ANNAL_EVENTSTORE_LISTEN", d.cfg.EventStoreListen)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, closing(listener))
	if d.cfg.StoreIsEmbedded() {
		d.cfg.EventStoreListen, d.cfg.EventStoreURL = listener.Addr().String(), "" // port 0 is now known
	}
	db, err := engine.Open(d.cfg.EventStoreDir, engine.Config{Logger: d.log})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func(context.Context) error { return db.Close() })
	srv, err := server.New(db, server.Config{TLSCert: d.cfg.EventStoreTLSCert, TLSKey: d.cfg.EventStoreTLSKey, Logger: d.log})
	if err != nil {
		return err
	}
	d.parts = append(d.parts, run.Part{Name: "eventstore", Run: func(ctx context.Context) error { return srv.Serve(ctx, listener) }})
	return nil
}
