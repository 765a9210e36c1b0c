package feed

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
)

// Checkpoint says what has been applied: everything of Categories at or below Position, in the store Store. Last is the id of the
// last event among it (zero if there was none), by which a store that was restored to another history is noticed. The zero
// Checkpoint means nothing.
type Checkpoint struct {
	Position   eventstore.Position
	Last       uuid.UUID
	Store      eventstore.StoreID
	Categories []eventstore.Category // sorted
}

// Batch is a step of the prefix.
type Batch struct {
	From   eventstore.Position   // the position that the checkpoint must still have
	To     Checkpoint            // what it becomes
	Events []eventstore.Recorded // all of S in (From, To.Position], in the log's order; none if S was quiet
}

// Sink is where events are applied. Apply writes the rows and the checkpoint in one transaction, if the checkpoint still stands at
// Batch.From, and otherwise returns ErrCheckpointMoved and writes nothing. Any other error means that nothing was written, or that
// it is unknown; the same batch comes again. Neither is called concurrently by one Consumer.
type Sink interface {
	Checkpoint(ctx context.Context) (Checkpoint, error)
	Apply(ctx context.Context, b Batch) error
}

// The faults of the feed.
var (
	// ErrCheckpointMoved is returned by a Sink whose checkpoint is not where the batch begins: another process applied.
	ErrCheckpointMoved = fault.New(fault.Conflict, "CHECKPOINT_MOVED", "another process moved the checkpoint; it is loaded again")
	// ErrForeignStore refuses to run: the checkpoint belongs to another store (invariant 19).
	ErrForeignStore = fault.New(fault.Conflict, "FEED_FOREIGN_STORE", "the checkpoint belongs to another event store; connect the right one, or, if this is it, "+postgres.BeginAnew)
	// ErrCategories refuses to run: the consumer's categories changed.
	ErrCategories = fault.New(fault.Conflict, "FEED_CATEGORIES_CHANGED", "the checkpoint was made for other categories; give the consumer a new version")
	// ErrHistory refuses to run: the event that was applied last is not in the store.
	ErrHistory = fault.New(fault.Conflict, "FEED_HISTORY_CHANGED", "the event store does not have the event that was applied last: it was restored to an earlier position; "+postgres.BeginAnew)
)

// begin loads the checkpoint and verifies that it belongs to this store and consumer.
func (c *Consumer) begin(ctx context.Context) (*worker, error) {
	cp, err := c.sink.Checkpoint(ctx)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "FEED_CHECKPOINT_UNREADABLE", "the checkpoint can't be read; try again")
	}
	store, err := c.store.Identity(ctx)
	if err != nil {
		return nil, err
	}
	if cp.Store != "" {
		if err := c.verify(ctx, cp, store); err != nil {
			return nil, err
		}
	}
	c.metrics.position.Set(float64(cp.Position))
	return &worker{Consumer: c, store: store, done: cp.Position, tip: cp.Position, last: cp.Last}, nil
}

func (c *Consumer) verify(ctx context.Context, cp Checkpoint, store eventstore.StoreID) error {
	if cp.Store != store {
		return ErrForeignStore.Because("feed %s: %s", c.cfg.Name, ErrForeignStore.Message)
	}
	if !slices.Equal(slices.Sorted(slices.Values(cp.Categories)), c.cfg.Categories) {
		return ErrCategories.Because("feed %s: %s", c.cfg.Name, ErrCategories.Message)
	}
	if cp.Last == uuid.Nil {
		return nil
	}
	filter := eventstore.Filter{Categories: c.cfg.Categories}
	for r, err := range c.store.ReadAllBackwards(ctx, cp.Position+1, 1, filter) {
		if err != nil {
			return err
		}
		if r.ID == cp.Last {
			return nil
		}
	}
	return ErrHistory.Because("feed %s: %s", c.cfg.Name, ErrHistory.Message)
}
