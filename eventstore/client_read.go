package eventstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// ReadStream returns the stream's events from the revision on, oldest first, to its end. Nothing is buffered: the store
// sends as fast as the loop takes, and leaving the loop ends the read.
//
// Faults, as the last pair: ErrNoStream, ErrStreamDeleted, ErrUnavailable, ErrTimeout, the context's own. A read that
// finds the store away before its first event is begun again once; after that the caller decides.
func (c *Client) ReadStream(ctx context.Context, stream Stream, from Revision) iter.Seq2[Recorded, error] {
	opts := esdb.ReadStreamOptions{Direction: esdb.Forwards, From: esdb.Revision(uint64(max(from, 0)))}
	return c.read(ctx, math.MaxInt64, everything, func(ctx context.Context, s *session) (*esdb.ReadStream, error) {
		return s.official.ReadStream(ctx, string(stream), opts, math.MaxInt64)
	})
}

// ReadStreamBackwards returns at most limit events of the stream, newest first. Faults: see ReadStream.
func (c *Client) ReadStreamBackwards(ctx context.Context, stream Stream, limit int) iter.Seq2[Recorded, error] {
	opts := esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}
	return c.read(ctx, limit, everything, func(ctx context.Context, s *session) (*esdb.ReadStream, error) {
		return s.official.ReadStream(ctx, string(stream), opts, uint64(limit))
	})
}

// ReadAllBackwards returns at most limit events of the log that the filter takes, newest first, strictly before the
// position (0: from the end). Faults: ErrUnavailable, ErrTimeout, the context's own.
//
// The official client has no filter for plain reads, so events that the filter leaves out travel all the same: meant for
// looking at what happened last, not for going through history.
func (c *Client) ReadAllBackwards(ctx context.Context, before Position, limit int, f Filter) iter.Seq2[Recorded, error] {
	opts := esdb.ReadAllOptions{Direction: esdb.Backwards, From: esdb.End{}}
	if before > 0 {
		opts.From = wirePosition(before)
	}
	return c.read(ctx, limit, f.takes, func(ctx context.Context, s *session) (*esdb.ReadStream, error) {
		return s.official.ReadAll(ctx, opts, math.MaxInt64)
	})
}

func everything(Stream, string) bool { return true }

// read yields at most limit events that keep takes, of the read that open begins.
func (c *Client) read(ctx context.Context, limit int, keep func(Stream, string) bool,
	open func(context.Context, *session) (*esdb.ReadStream, error),
) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		if limit <= 0 {
			return
		}
		if c == nil {
			yield(Recorded{}, ErrClosed)
			return
		}
		yielded := 0
		err := c.readFrom(ctx, open, func(r Recorded) bool {
			if !keep(r.Stream, r.Type) {
				return true
			}
			yielded++
			return yield(r, nil) && yielded < limit
		}, func() bool { return yielded > 0 })
		if err != nil {
			yield(Recorded{}, err)
		}
	}
}

// readFrom feeds take with events until it says enough or the read ends; begun says whether it is too late to begin again.
func (c *Client) readFrom(ctx context.Context, open func(context.Context, *session) (*esdb.ReadStream, error),
	take func(Recorded) bool, begun func() bool,
) error {
	for again := false; ; again = true {
		s, err := c.session(ctx)
		if err != nil {
			return err
		}
		err = s.read(ctx, open, take)
		if err == nil || again || begun() || !isUnavailable(err) {
			return err
		}
	}
}

func (s *session) read(parent context.Context, open func(context.Context, *session) (*esdb.ReadStream, error), take func(Recorded) bool) error {
	ctx, watch := s.watch(parent)
	defer watch.end()
	reading, err := guardEntry(ctx, s, func() (*esdb.ReadStream, error) { return open(ctx, s) })
	if err != nil {
		return err
	}
	defer reading.Close()
	for {
		watch.start()
		event, err := guard(ctx, s, func() (*esdb.ResolvedEvent, error) {
			event, err := reading.Recv()
			if errors.Is(err, io.EOF) && ctx.Err() == nil {
				return nil, nil // the end: no event, no error
			}
			return event, err
		})
		watch.stop()
		switch {
		case err != nil:
			return err
		case event == nil:
			return nil
		}
		if r, ok := recorded(event); ok && !take(r) {
			return nil
		}
	}
}

// A watch ends a read whose store is silent for too long while we wait for it. The time that the caller takes between
// two events does not count.
type watch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// watch returns a context that ends with parent or the session, and with ErrTimeout when the store is silent for StallTimeout.
func (s *session) watch(parent context.Context) (context.Context, watch) {
	ctx, cancel := s.bind(parent)
	limit := s.owner.cfg.StallTimeout
	return ctx, watch{cancel: cancel, timer: time.AfterFunc(limit, func() { cancel(ErrTimeout) }), limit: limit}
}

func (w watch) start() { w.timer.Reset(w.limit) }
func (w watch) stop()  { w.timer.Stop() }

func (w watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// recorded translates an event as it was read; false for a link whose target is gone.
func recorded(e *esdb.ResolvedEvent) (Recorded, bool) {
	o := e.OriginalEvent()
	if o == nil {
		return Recorded{}, false
	}
	return Recorded{
		Stream:   Stream(o.StreamID),
		Revision: Revision(o.EventNumber), //nolint:gosec // revisions fit
		Position: Position(o.Position.Commit),
		ID:       o.EventID,
		Type:     o.EventType,
		Data:     o.Data,
		Metadata: o.UserMetadata,
		Created:  o.CreatedDate,
	}, true
}

func wirePosition(p Position) esdb.Position {
	return esdb.Position{Commit: uint64(p), Prepare: uint64(p)}
}
