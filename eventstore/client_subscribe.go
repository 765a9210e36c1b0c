package eventstore

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Filter chooses domain events by the category of their stream. Empty: the domain events of all registered categories. The
// store's own events, and those of unregistered categories, never pass.
type Filter struct{ Categories []Category }

func (f Filter) takes(s Stream, eventType string) bool {
	return IsDomain(s, eventType) && (len(f.Categories) == 0 || slices.Contains(f.Categories, s.Category()))
}

func (f Filter) prefixes() []string {
	categories := f.Categories
	if len(categories) == 0 {
		categories = registered
	}
	prefixes := make([]string, len(categories))
	for i, c := range categories {
		prefixes[i] = string(c) + "-"
	}
	return prefixes
}

// Item is what a subscription hands over: an event, the news that history is exhausted, or else a checkpoint: nothing that
// the filter takes stands between the item before it and Position.
type Item struct {
	Event    *Recorded // nil: a checkpoint or CaughtUp
	Position Position  // up to which, inclusive, everything was handed over
	CaughtUp bool      // the log's end is reached; events from now on are live, until an outage begins a new catching up
}

// The store says how far it looked after every searchWindow * checkpointInterval events, matching or not.
const (
	searchWindow       = 256
	checkpointInterval = 4
)

// Subscribe hands every event that the filter takes, strictly after the position, to handle: history first, then live, for
// ever, in the log's order, none left out, none twice. handle runs alone; while it runs the store waits.
//
// An outage does not end a subscription: it goes on after the last position it handed over, when the store is back. It
// returns nil when ctx ends, ErrClosed when the client is closed, and handle's error as it is.
func (c *Client) Subscribe(ctx context.Context, after Position, f Filter, handle func(Item) error) error {
	if c == nil {
		return ErrClosed
	}
	pause := minPause
	for {
		reached, err := c.subscribeOnce(ctx, after, f, handle)
		var refusal handled
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refusal):
			return refusal.error
		case isClosed(err):
			return err
		case reached > after:
			after, pause = reached, minPause
		}
		c.log.Log(ctx, interruptionLevel(err), "subscription interrupted", "after", uint64(after), "error", err)
		select {
		case <-time.After(jitter(pause)):
		case <-ctx.Done():
			return nil
		case <-c.ctx.Done():
			return ErrClosed
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// interruptionLevel keeps outages quiet, which the session reports once for all, and shows what no waiting mends.
func interruptionLevel(err error) slog.Level {
	if isUnavailable(err) {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// handled marks an error as the handler's own.
type handled struct{ error }

func (c *Client) subscribeOnce(ctx context.Context, after Position, f Filter, handle func(Item) error) (Position, error) {
	s, err := c.session(ctx)
	if err != nil {
		return after, err
	}
	return s.subscribe(ctx, after, f, func(i Item) error {
		if err := handle(i); err != nil {
			return handled{err}
		}
		return nil
	}, nil)
}

// ReadAll returns the events that the filter takes, strictly after the position, oldest first, to the end of the log at
// the time of the call or later. The store filters; leaving the loop ends the read. Faults: see ReadStream.
//
// It is a subscription that ends when history is exhausted, since the official client has no filter for plain reads: the
// store must be of version 23.10 or later, which says so.
func (c *Client) ReadAll(ctx context.Context, after Position, f Filter) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		if c == nil {
			yield(Recorded{}, ErrClosed)
			return
		}
		if err := c.readAll(ctx, after, f, func(r Recorded) bool { return yield(r, nil) }); err != nil {
			yield(Recorded{}, err)
		}
	}
}

var errEnough = errors.New("enough")

func (c *Client) readAll(ctx context.Context, after Position, f Filter, take func(Recorded) bool) error {
	for again := false; ; again = true {
		s, err := c.session(ctx)
		if err != nil {
			return err
		}
		began := false
		ctx, watch := s.watch(ctx)
		_, err = s.subscribe(ctx, after, f, func(i Item) error {
			if i.CaughtUp {
				return errEnough
			}
			if i.Event == nil {
				return nil
			}
			if began = true; !take(*i.Event) {
				return errEnough
			}
			return nil
		}, &watch)
		watch.end()
		if errors.Is(err, errEnough) {
			return nil
		}
		if again || began || !isUnavailable(err) {
			return err
		}
	}
}

// subscribe runs one subscription to its end and returns the last position handed over.
func (s *session) subscribe(parent context.Context, after Position, f Filter, handle func(Item) error, w *watch) (Position, error) {
	ctx, cancel := s.bind(parent)
	defer cancel(nil)
	sub, err := guardEntry(ctx, s, func() (*esdb.Subscription, error) { return s.official.SubscribeToAll(ctx, subscribeOptions(after, f)) })
	if err != nil {
		return after, err
	}
	defer sub.Close() //nolint:errcheck // returns nil always
	for {
		if w != nil {
			w.start()
		}
		news, err := guard(ctx, s, func() (*esdb.SubscriptionEvent, error) {
			news := sub.Recv()
			if news.SubscriptionDropped != nil {
				return nil, news.SubscriptionDropped.Error
			}
			return news, nil
		})
		if w != nil {
			w.stop()
		}
		if err != nil {
			return after, err
		}
		item, ok := itemOf(news, after, f)
		if !ok {
			continue
		}
		if ctx.Err() != nil { // what gRPC had in store when the caller was through
			return after, contextFault(ctx)
		}
		if err := handle(item); err != nil {
			return after, err
		}
		after = item.Position
	}
}

func subscribeOptions(after Position, f Filter) esdb.SubscribeToAllOptions {
	opts := esdb.SubscribeToAllOptions{
		From:               esdb.Start{},
		MaxSearchWindow:    searchWindow,
		CheckpointInterval: checkpointInterval,
		Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: f.prefixes()},
	}
	if after > 0 {
		opts.From = wirePosition(after)
	}
	return opts
}

// itemOf translates what the store sent; false for what tells nothing new. The store's own events inside a chosen stream (a
// tombstone) count as checkpoints.
func itemOf(news *esdb.SubscriptionEvent, after Position, f Filter) (Item, bool) {
	switch {
	case news.EventAppeared != nil:
		r, ok := recorded(news.EventAppeared)
		if !ok {
			return Item{}, false
		}
		if !f.takes(r.Stream, r.Type) {
			return Item{Position: r.Position}, r.Position > after
		}
		return Item{Event: &r, Position: r.Position}, true
	case news.CheckPointReached != nil:
		at := Position(news.CheckPointReached.Commit)
		return Item{Position: at}, at > after
	case news.CaughtUp != nil:
		return Item{Position: after, CaughtUp: true}, true
	}
	return Item{}, false
}
