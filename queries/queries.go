// Package queries answers from the read models.
//
// A method takes the principal who asks, decides what it may see, reads the views of schema read (which show the live version
// of each projection) and returns plain structs. graph is the caller. Nothing here changes anything.
//
// What is kept:
//   - authorisation stands here and nowhere above. What is not visible is Missing, the same as what does not exist: no
//     answer tells the difference.
//   - invariant 20: Wait returns once the read models have applied everything up to a position, or a typed fault that says
//     how far behind they are; never older data. One connection per process listens for the projector's signal (Run), and
//     nobody polls. What proves is a projection's checkpoint, a contiguous prefix; a maximum of seen positions would not.
//   - lists are Relay connections: keyset pages of at most 100, opaque cursors, no offsets. A page costs the same wherever
//     it stands.
//   - personal data is opened for a whole page at once, for whoever may see it, and never logged. An erased person's is
//     absent, and so is everybody's while the vault is away; PersonState tells which.
//
// Faults: NOT_FOUND kinds as above, Invalid for bad cursors and pages, Timeout READ_MODEL_BEHIND, Unavailable READ_MODEL_PAUSED and
// READ_MODELS_UNAVAILABLE, and those of auth.
package queries

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

// People opens personal data and finds people by it; *vault.Vault does.
type People interface {
	OpenMany(ctx context.Context, items []vault.Item) ([]vault.Opened, error)
	Find(ctx context.Context, field pii.Field, normalised string) ([]pii.Subject, error)
}

// Log is what queries read of the store; *eventstore.Client does.
type Log interface {
	Head(ctx context.Context) (eventstore.Position, error)
}

// Config tunes the queries.
type Config struct {
	Wait   time.Duration // longest wait for a position; default 5 s
	Logger *slog.Logger  // default: discards
}

// Queries answers. Safe for concurrent use.
type Queries struct {
	pool    *pgxpool.Pool
	people  People
	log     Log
	wait    time.Duration
	logger  *slog.Logger
	waiting *waitingRoom
}

// New returns the queries; Wait is woken only while Run runs. Fault: CONFIG_INCOMPLETE.
func New(pool *pgxpool.Pool, people People, log Log, cfg Config) (*Queries, error) {
	if pool == nil || people == nil || log == nil {
		return nil, fault.New(fault.Invalid, "CONFIG_INCOMPLETE", "queries need a pool, a vault and an event store")
	}
	if cfg.Wait == 0 {
		cfg.Wait = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Queries{pool: pool, people: people, log: log, wait: cfg.Wait, logger: cfg.Logger, waiting: newWaitingRoom()}, nil
}

// ErrNotFound answers for what does not exist and for what the principal may not see.
var ErrNotFound = fault.New(fault.Missing, "NOT_FOUND", "there is no such thing, or it is not yours")

func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "READ_MODELS_UNAVAILABLE", "the read models do not answer; try again")
}

// collect runs a query and returns its rows.
func collect[Row any](ctx context.Context, q *Queries, sql string, args ...any) ([]Row, error) {
	rows, err := q.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Row])
	return all, unavailable(err)
}

// one returns the only element, or ErrNotFound.
func one[T any](all []T, err error) (T, error) {
	if err != nil || len(all) == 0 {
		var none T
		if err == nil {
			err = ErrNotFound
		}
		return none, err
	}
	return all[0], nil
}
