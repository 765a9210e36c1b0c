package feed

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/eventstore"
)

// CatchUp reads the categories' events after from out of the store, up to its head at the time of the call or later, and
// hands them to apply in batches of at most maxBatch; to is the position that is proven with each batch, the last of which may
// have no events. The next batch is read while one is applied. It returns the position reached. Faults: those of the store, and apply's.
func CatchUp(ctx context.Context, store *eventstore.Client, from eventstore.Position, categories []eventstore.Category, maxBatch int,
	apply func(ctx context.Context, events []eventstore.Recorded, to eventstore.Position) error,
) (eventstore.Position, error) {
	head, err := store.Head(ctx) // before reading: what stands up to here will have been read
	if err != nil {
		return from, err
	}
	reached := from
	batches := make(chan []eventstore.Recorded, 1)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return readBatches(gctx, store, from, categories, maxBatch, batches)
	})
	group.Go(func() error {
		for batch := range batches {
			to := batch[len(batch)-1].Position
			if err := apply(gctx, batch, to); err != nil {
				return err
			}
			reached = to
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return reached, err
	}
	if head > reached {
		if err := apply(ctx, nil, head); err != nil {
			return reached, err
		}
		reached = head
	}
	return reached, nil
}

func readBatches(ctx context.Context, store *eventstore.Client, from eventstore.Position, categories []eventstore.Category, maxBatch int, out chan<- []eventstore.Recorded) error {
	var batch []eventstore.Recorded
	send := func() error {
		select {
		case out <- batch:
			batch = nil
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for r, err := range store.ReadAll(ctx, from, eventstore.Filter{Categories: categories}) {
		if err != nil {
			return err
		}
		if batch = append(batch, r); len(batch) >= maxBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(batch) == 0 {
		return context.Cause(ctx)
	}
	return send()
}

// catchUp brings the worker to the store's head.
func (w *worker) catchUp(ctx context.Context) error {
	w.events, w.tip = nil, w.done // what a lost consumer left in the batch is read again
	_, err := CatchUp(ctx, w.Consumer.store, w.done, w.cfg.Categories, w.cfg.MaxBatch,
		func(ctx context.Context, events []eventstore.Recorded, to eventstore.Position) error {
			for _, e := range events {
				w.add(e)
			}
			w.move(to)
			return w.flush(ctx)
		})
	return err
}
