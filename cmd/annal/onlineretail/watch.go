package onlineretail

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// ending is how a saga ended.
type ending struct {
	completed bool
	code      string // why not
}

// watch waits for sagas to end: one subscription to what happens from now on, and a look at each stream for what happened
// before. So nobody polls, and an end is never missed.
type watch struct {
	store *eventstore.Client
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[eventstore.Stream]chan ending
}

func newWatch(store *eventstore.Client, log *slog.Logger) *watch {
	return &watch{store: store, log: log, waiting: map[eventstore.Stream]chan ending{}}
}

// start subscribes; ended receives once, when ctx ends.
func (w *watch) start(ctx context.Context, ended chan<- error) error {
	from, err := w.store.Head(ctx)
	if err != nil {
		return err
	}
	go func() {
		err := w.store.Subscribe(ctx, from, eventstore.Filter{Categories: []eventstore.Category{eventstore.Fulfilment, eventstore.Return}},
			func(i eventstore.Item) error {
				if i.Event != nil {
					if end, ok := endOf(*i.Event); ok {
						w.tell(i.Event.Stream, end)
					}
				}
				return nil
			})
		if ctx.Err() != nil {
			err = nil
		}
		ended <- err
	}()
	return nil
}

func (w *watch) tell(s eventstore.Stream, end ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.waiting[s]; ok {
		delete(w.waiting, s)
		c <- end
	}
}

// settled waits until the saga of the stream ended. Fault: IMPORT_UNSETTLED.
func (w *watch) settled(ctx context.Context, s eventstore.Stream, patience time.Duration) (ending, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	end := make(chan ending, 1)
	w.mu.Lock()
	w.waiting[s] = end
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.waiting, s)
		w.mu.Unlock()
	}()
	if before, ok := w.look(ctx, s); ok {
		return before, nil
	}
	select {
	case e := <-end:
		return e, nil
	case <-ctx.Done():
		return ending{}, fault.Wrap(ctx.Err(), fault.Timeout, "IMPORT_UNSETTLED", "what was sent is not settled yet; run the same import again")
	}
}

// look reads the stream's last event. A store that is away is no answer: the subscription will tell.
func (w *watch) look(ctx context.Context, s eventstore.Stream) (ending, bool) {
	for rec, err := range w.store.ReadStreamBackwards(ctx, s, 1) {
		if err != nil {
			if !errors.Is(err, eventstore.ErrNoStream) {
				w.log.WarnContext(ctx, "looking for a saga's end", "stream", s, "error", err)
			}
			break
		}
		return endOf(rec)
	}
	return ending{}, false
}

// endOf reads what ends a saga, or needs an operator.
func endOf(rec eventstore.Recorded) (ending, bool) {
	switch rec.Type {
	case fulfilment.TypeCompleted, returns.TypeCompleted:
		return ending{completed: true}, true
	case fulfilment.TypeCancelled, fulfilment.TypeStuck, returns.TypeStuck:
		var why struct {
			Code string `json:"code"`
		}
		if err := json.Unmarshal(rec.Data, &why); err != nil {
			why.Code = "UNREADABLE"
		}
		return ending{code: why.Code}, true
	}
	return ending{}, false
}
