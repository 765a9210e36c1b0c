package relay

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

// A session publishes on one channel, from the confirmed prefix on, until something fails.
type session struct {
	relay     *Relay
	publisher *rabbit.Publisher
	store     eventstore.StoreID
	fail      context.CancelCauseFunc

	publishing sync.Mutex // guards position, after; held while publishing, so that a watermark stands behind what it covers
	position   eventstore.Position
	after      eventstore.After

	confirming sync.Mutex // guards confirmed, failed
	confirmed  progress
	failed     bool // something before was not confirmed: the prefix ends here
}

// progress is a prefix of the log.
type progress struct {
	position eventstore.Position
	after    eventstore.After
}

// session runs until ctx ends or something fails; cp then stands at the confirmed prefix, in memory at least.
func (r *Relay) session(ctx context.Context, cp *checkpoint) error {
	if err := r.broker.Declare(ctx, rabbit.EventsLayout()); err != nil {
		return err
	}
	publisher, err := r.broker.Publisher(ctx, r.cfg.Window)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{
		relay: r, publisher: publisher, store: cp.store, fail: cancel,
		position: cp.position, after: cp.after.Clone(), confirmed: progress{cp.position, cp.after.Clone()},
	}
	err = s.run(ctx, cp)
	publisher.Close() // settles what is in flight
	s.advance(cp)
	return errors.Join(err, s.lastSave(ctx, cp))
}

func (s *session) run(ctx context.Context, cp *checkpoint) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := s.relay.store.Subscribe(gctx, s.position, eventstore.Filter{}, func(i eventstore.Item) error { return s.handle(gctx, i) })
		return cmpError(err, context.Cause(gctx))
	})
	group.Go(func() error { return s.watermarks(gctx) })
	group.Go(func() error { return s.checkpoints(gctx, cp) })
	err := group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause // what a confirm said comes before what it led to
	}
	return err
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// handle publishes one event, waiting for room in the window.
func (s *session) handle(ctx context.Context, i eventstore.Item) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if i.Event == nil {
		s.position = max(s.position, i.Position)
		return nil
	}
	category, position := i.Event.Stream.Category(), i.Position
	m := eventstore.Message{Event: *i.Event, After: s.after, Store: s.store}
	message, span := s.relay.message(ctx, m)
	err := s.publisher.Publish(ctx, message, func(err error) {
		span.end(err)
		s.settled(category, position, err)
	})
	if err != nil {
		return err
	}
	s.position = position
	s.after[category] = position
	return nil
}

// settled is called in the order of publishing.
func (s *session) settled(category eventstore.Category, position eventstore.Position, err error) {
	s.confirming.Lock()
	defer s.confirming.Unlock()
	if err != nil || s.failed {
		s.relay.metrics.count(err)
		s.failed = true
		s.fail(cmpError(err, rabbit.ErrLost))
		return
	}
	s.confirmed.position = max(s.confirmed.position, position)
	if category != "" {
		s.confirmed.after[category] = position
		s.relay.metrics.confirmed.Inc()
	}
}

// watermarks publishes how far the relay is, busy or idle: it shows a consumer that the last messages were lost, and moves
// consumers of quiet categories on.
func (s *session) watermarks(ctx context.Context) error {
	ticker := time.NewTicker(s.relay.cfg.WatermarkEvery)
	defer ticker.Stop()
	expiration := strconv.FormatInt(s.relay.cfg.WatermarkExpiry.Milliseconds(), 10)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if err := s.watermark(ctx, expiration); err != nil {
			return err
		}
		s.relay.metrics.inFlight.Set(float64(s.publisher.InFlight()))
	}
}

func (s *session) watermark(ctx context.Context, expiration string) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	position := s.position
	m := eventstore.Message{Event: eventstore.Recorded{Position: position}, After: s.after, Store: s.store, Watermark: true}
	headers, _ := m.Encode()
	return s.publisher.Publish(ctx, rabbit.Message{
		Exchange: rabbit.EventsExchange, Key: rabbit.WatermarkKey, Headers: headers, Expiration: expiration, Type: "annal.watermark", Transient: true,
	}, func(err error) { s.settled("", position, err) })
}

// checkpoints saves the confirmed prefix from time to time, and looks whether this is still the same store.
func (s *session) checkpoints(ctx context.Context, cp *checkpoint) error {
	ticker := time.NewTicker(s.relay.cfg.CheckpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if store, err := s.relay.store.Identity(ctx); err == nil && store != s.store {
			return ErrForeignStore // at this address stands another store since an outage
		}
		s.advance(cp)
		if f := s.relay.cfg.beforeCheckpoint; f != nil {
			if err := f(); err != nil {
				return err
			}
		}
		if err := s.relay.save(ctx, cp); err != nil {
			return err
		}
	}
}

// advance moves the checkpoint, in memory, to the confirmed prefix.
func (s *session) advance(cp *checkpoint) {
	s.confirming.Lock()
	defer s.confirming.Unlock()
	if s.confirmed.position > cp.position {
		cp.position, cp.after = s.confirmed.position, s.confirmed.after.Clone()
	}
}

// lastSave is bounded and no condition of anything: without it the next leader publishes duplicates.
func (s *session) lastSave(ctx context.Context, cp *checkpoint) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.relay.cfg.beforeCheckpoint != nil {
		return nil // the failpoint plays a process that died
	}
	if err := s.relay.save(ctx, cp); errors.Is(err, errFenced) || fault.KindOf(err) == fault.Internal {
		return err
	}
	return nil
}
