package main

import (
	"context"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/engine/admin"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/run"
)

// buildEventStore wires the role eventstore: eventstore/engine behind eventstore/server at ANNAL_EVENTSTORE_LISTEN.
func buildEventStore(ctx context.Context, d *Daemon) error {
	settings := server.Config{
		Advertise: d.cfg.EventStoreAdvertise, MaxAppend: d.cfg.EventStoreMaxAppend, Logger: d.log,
		TLSCert: d.cfg.EventStoreTLSCert, TLSKey: d.cfg.EventStoreTLSKey, Users: d.cfg.EventStoreUsers, Insecure: d.cfg.EventStoreInsecure,
		MaxConnections: d.cfg.EventStoreMaxConnections, MaxCalls: d.cfg.EventStoreMaxCalls, AppendMemory: d.cfg.EventStoreAppendMemory,
	}
	listener, err := listenAsPermitted(ctx, settings, d.cfg.EventStoreListen)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, closing(listener))
	d.cfg = d.cfg.WithStoreAt(listener.Addr().String())
	db, err := engine.Open(d.cfg.EventStoreDir, engine.Config{Logger: d.log, Registerer: d.registry, ReserveBytes: d.cfg.StoreReserve()})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func(context.Context) error { return db.Close() })
	srv, err := server.New(db, settings)
	if err != nil {
		return err
	}
	// A disk that is nearly full stops appends, not reads: readiness tells it and stays.
	d.checks = append(d.checks, run.Check{Name: "eventstore space", Optional: true, Probe: func(context.Context) error { return db.CheckSpace() }})
	d.admins = append(d.admins, admin.New(db, admin.Config{Backups: d.cfg.EventStoreBackups, Keep: eventstore.Protected, Logger: d.log}).Register)
	if err := d.registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "annal_eventstore_subscriptions",
		Help: "Catch-up subscriptions that are open."}, func() float64 { return float64(srv.Subscriptions()) })); err != nil {
		return fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the event store's metrics can't be registered")
	}
	d.parts = append(d.parts, run.Part{Name: "eventstore", Run: func(ctx context.Context) error { return srv.Serve(ctx, listener) }})
	return nil
}

// listenAsPermitted opens the store's port, not before it is known that nobody reaches it who must not.
func listenAsPermitted(ctx context.Context, settings server.Config, address string) (net.Listener, error) {
	where, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "ANNAL_EVENTSTORE_LISTEN names no address")
	}
	if err := settings.Permits(where); err != nil {
		return nil, err
	}
	return run.Listen(ctx, "ANNAL_EVENTSTORE_LISTEN", address)
}
