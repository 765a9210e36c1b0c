package main

import (
	"context"
	"errors"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/reach"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/projections"
)

// A house is what several roles of one process share. Each piece is opened when the first role asks for it.
type house struct {
	client   *eventstore.Client
	broker   *rabbit.Broker
	bus      *rabbit.Bus
	vault    *vault.Vault
	handlers *commands.Handlers
	models   []projections.Projection // prepared
	lagTold  bool                     // readiness has the read models' lines
}

// store returns the process's connection to the event store. It is lazy: the store may come up later.
func (d *Daemon) store() (*eventstore.Client, error) {
	if d.house.client != nil {
		return d.house.client, nil
	}
	if d.cfg.EventStoreURL == "" && d.cfg.EventStoreTLSCert != "" {
		return nil, fault.Newf(fault.Invalid, "SETTING_INVALID", "the event store of this process has users: say which one its other roles are, "+
			"with ANNAL_EVENTSTORE_URL=esdb://USER:PASSWORD@%s?tlsCAFile=CERTIFICATE", d.cfg.EventStoreListen)
	}
	client, err := eventstore.Open(d.cfg.StoreURL(), eventstore.Config{Logger: d.log})
	if err != nil {
		return nil, err
	}
	d.house.client = client
	d.closers = append(d.closers, func(context.Context) error { return client.Close() })
	d.checks = append(d.checks, run.Check{Name: "eventstore", Probe: func(ctx context.Context) error {
		_, err := client.Head(ctx)
		return told("the event store", err)
	}})
	return client, nil
}

// told makes of a fault whose cause says where and why a peer was not reached one that says so to whoever asks for readiness: an
// operator. The fault itself does not, since users of the API read it too.
func told(peer string, err error) error {
	var why *reach.Error
	if !errors.As(err, &why) {
		return err
	}
	return fault.Newf(fault.Unavailable, fault.CodeOf(err), "%s at %s (%s)", peer, why, fault.CodeOf(err))
}

// rabbit returns the process's connections to RabbitMQ; they too are opened when first used.
func (d *Daemon) rabbit() (*rabbit.Broker, *rabbit.Bus, error) {
	if d.house.bus != nil {
		return d.house.broker, d.house.bus, nil
	}
	if d.cfg.RabbitMQURL == "" {
		return nil, nil, fault.New(fault.Invalid, "SETTING_INVALID", "ANNAL_RABBITMQ_URL is not set; `make run` sets it, or name a server of your own")
	}
	broker, err := rabbit.Open(rabbit.Config{URL: d.cfg.RabbitMQURL, Name: "annald"})
	if err != nil {
		return nil, nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { broker.Close(); return nil })
	bus, err := rabbit.NewBus(broker, rabbit.BusConfig{Registerer: d.registry, Logger: d.log})
	if err != nil {
		return nil, nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { bus.Close(); return nil })
	d.house.broker, d.house.bus = broker, bus
	d.checks = append(d.checks, run.Check{Name: "rabbitmq", Probe: func(ctx context.Context) error { return askBroker(ctx, broker) }})
	return broker, bus, nil
}

// askBroker is the check of RabbitMQ. A broker that is away costs latency, not correctness: it is told, and readiness does not depend on it.
// Queues with other arguments than ours stop work for good; nothing is known of them while no broker answers.
func askBroker(ctx context.Context, broker *rabbit.Broker) error {
	if err := broker.Mismatch(); err != nil {
		return err
	}
	return run.Degraded(told("the broker", broker.Ping(ctx)))
}

// keys returns the vault of personal keys, migrated.
func (d *Daemon) keys(ctx context.Context) (*vault.Vault, error) {
	if d.house.vault != nil {
		return d.house.vault, nil
	}
	kek, err := d.cfg.VaultKEK()
	if err != nil {
		return nil, err
	}
	pool, err := d.schema(ctx, postgres.Vault, vault.Owned())
	if err != nil {
		return nil, err
	}
	d.house.vault, err = vault.New(pool, vault.Config{KEK: kek})
	return d.house.vault, err
}

// commands returns the command handlers.
func (d *Daemon) commands(ctx context.Context) (*commands.Handlers, error) {
	if d.house.handlers != nil {
		return d.house.handlers, nil
	}
	store, err := d.store()
	if err != nil {
		return nil, err
	}
	keys, err := d.keys(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := d.ports()
	if err != nil {
		return nil, err
	}
	if d.house.handlers, err = commands.New(store, keys, ports, commands.Config{Logger: d.log}); err != nil {
		return nil, err
	}
	d.parts = append(d.parts, run.Part{Name: "snapshots", Run: d.house.handlers.Run})
	return d.house.handlers, nil
}
