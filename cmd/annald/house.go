package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/internal/vault"
)

// A house is what several roles of one process share. Each piece is opened when the first role asks for it.
type house struct {
	client   *eventstore.Client
	broker   *rabbit.Broker
	bus      *rabbit.Bus
	vault    *vault.Vault
	handlers *commands.Handlers
}

// store returns the process's connection to the event store. It is lazy: the store may come up later.
func (d *Daemon) store() (*eventstore.Client, error) {
	if d.house.client != nil {
		return d.house.client, nil
	}
	client, err := eventstore.Open(d.cfg.StoreURL(), eventstore.Config{Logger: d.log})
	if err != nil {
		return nil, err
	}
	d.house.client = client
	d.closers = append(d.closers, func(context.Context) error { return client.Close() })
	d.checks = append(d.checks, run.Check{Name: "eventstore", Probe: func(ctx context.Context) error {
		_, err := client.Head(ctx)
		return err
	}})
	return client, nil
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
	// A broker that is away costs latency, not correctness: the check is told, readiness does not depend on it.
	d.checks = append(d.checks, run.Check{Name: "rabbitmq", Optional: true, Probe: func(context.Context) error { return broker.Ping() }})
	return broker, bus, nil
}

// keys returns the vault of personal keys, migrated.
func (d *Daemon) keys(ctx context.Context) (*vault.Vault, error) {
	if d.house.vault != nil {
		return d.house.vault, nil
	}
	kek, err := d.secret("ANNAL_VAULT_KEY", d.cfg.VaultKey, "vault.key")
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(kek)
	if err != nil {
		return nil, fault.New(fault.Invalid, "SETTING_INVALID", "ANNAL_VAULT_KEY is not base64")
	}
	pool, err := d.schema(ctx, vault.Schema, vault.Migrations())
	if err != nil {
		return nil, err
	}
	d.house.vault, err = vault.New(pool, vault.Config{KEK: raw})
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
	d.house.handlers, err = commands.New(store, keys, ports, commands.Config{Logger: d.log})
	return d.house.handlers, err
}

// schema migrates a service's schema and returns a pool of its own that sees nothing else.
func (d *Daemon) schema(ctx context.Context, name string, files fs.FS) (*pgxpool.Pool, error) {
	if err := postgres.Migrate(ctx, d.cfg.PostgresURL, name, files); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(ctx, d.cfg.PostgresURL, postgres.Config{MaxConns: d.cfg.PostgresMaxConns, Application: "annald " + name, Schema: name})
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { pool.Close(); return nil })
	return pool, nil
}

// secret returns a configured secret of 32 bytes in base64. In development one is drawn when it is first needed and kept in
// a file of the home that only its owner reads.
func (d *Daemon) secret(setting, value, file string) (string, error) {
	if value != "" {
		return value, nil
	}
	if d.cfg.Mode != config.Development {
		return "", fault.Newf(fault.Invalid, "SETTING_INVALID", "%s is not set; production needs one of its own (%s_FILE names a file)", setting, setting)
	}
	return drawSecret(filepath.Join(d.cfg.Home, file))
}

func drawSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Unavailable, "SECRET_UNREADABLE", "a secret of the home can't be read")
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fault.Wrap(err, fault.Internal, "SECRET_UNDRAWN", "no randomness")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "SECRET_UNWRITABLE", "the home can't be written")
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // 0600
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "SECRET_UNWRITABLE", "the home can't be written")
	}
	drawn := base64.StdEncoding.EncodeToString(raw)
	_, err = f.WriteString(drawn)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // never replaces: of two processes that draw at once, one wins
	}
	if rm := os.Remove(f.Name()); err == nil {
		err = rm
	}
	if errors.Is(err, fs.ErrExist) {
		return drawSecret(path)
	}
	return drawn, fault.Wrap(err, fault.Unavailable, "SECRET_UNWRITABLE", "the home can't be written")
}
