package feed

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
)

// followUntilBroker applies what the store has, live, until the queue can be consumed again: losing the broker costs
// latency only.
func (w *worker) followUntilBroker(ctx context.Context) (*rabbit.Consumption, error) {
	following, stop := context.WithCancel(ctx)
	defer stop()
	found := make(chan *rabbit.Consumption, 1)
	go func() {
		defer close(found)
		defer stop()
		backoff := rabbit.NewBackoff(w.cfg.MinBackoff, w.cfg.MaxBackoff)
		for backoff.Wait(following) {
			if c, err := w.consume(following); err == nil {
				found <- c
				return
			}
		}
	}()
	err := w.follow(following, ctx)
	stop()
	c, ok := <-found
	switch {
	case ok && following.Err() != nil && err == nil:
		return c, nil
	case ok:
		c.Close()
	}
	if err == nil {
		err = context.Cause(following)
	}
	return nil, err
}

// follow applies what the store has, live, until ctx ends; then it returns nil. What it took by then is committed, unless
// committing ends as well.
func (w *worker) follow(ctx, committing context.Context) error {
	items := make(chan eventstore.Item, w.cfg.MaxBatch)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(items)
		return w.Consumer.store.Subscribe(gctx, w.tip, eventstore.Filter{Categories: w.cfg.Categories}, func(i eventstore.Item) error {
			select {
			case items <- i:
				return nil
			case <-gctx.Done():
				return context.Cause(gctx) // not nil: the next item must not be taken without this one
			}
		})
	})
	group.Go(func() error { return w.drain(committing, items) })
	err := group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// drain batches items as live does deliveries.
func (w *worker) drain(ctx context.Context, items <-chan eventstore.Item) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	waiting := false
	for {
		select {
		case i, ok := <-items:
			if !ok {
				return w.flush(ctx)
			}
			if i.Event != nil {
				w.add(*i.Event)
			}
			w.move(i.Position)
			if !w.full() {
				if !waiting {
					waiting = true
					timer.Reset(w.cfg.MaxDelay)
				}
				continue
			}
		case <-timer.C:
		}
		waiting = false
		timer.Stop()
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
}
