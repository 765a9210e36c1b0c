package server

import (
	"errors"
	"math"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
)

// wait blocks until the signal, or until the call must end.
func (c *call) wait(changed <-chan struct{}) error {
	select {
	case <-changed:
		c.woken.Add(1)
		return nil
	case <-c.stopping:
		return errStopping()
	case <-c.db.Done():
		return errStopping()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// liveness says caught_up when the end is reached, once for each time the subscription had fallen behind.
type liveness struct {
	c    *call
	live bool
}

func (l *liveness) page(end bool) error {
	if l.live == end {
		return nil
	}
	l.live = end
	if !end {
		return nil
	}
	return l.c.out.Send(caughtUp())
}

// subscribeAll sends everything behind the starting point, in order, for ever.
func (c *call) subscribeAll() error {
	next := engine.Position(1)
	switch {
	case c.q.fromEnd:
		next = c.db.Last() + 1
	case c.q.position == math.MaxUint64:
		next = c.q.position
	case c.q.after:
		next = c.q.position + 1
	}
	if err := c.out.Send(confirmation(uuid.NewString())); err != nil {
		return err
	}
	marks := checkpoints{c: c, last: next - 1}
	state := liveness{c: c}
	for {
		changed := c.db.WatchAll()
		page, err := c.db.ReadAll(next, engine.Forwards, pageSize)
		if err != nil {
			return err
		}
		for i := range page.Records {
			if err := c.consider(&page.Records[i], &marks); err != nil {
				return err
			}
		}
		next = page.Next
		if err := c.going(); err != nil {
			return err
		}
		if page.End && !state.live {
			if err := marks.reachedEnd(); err != nil {
				return err
			}
		}
		if err := state.page(page.End); err != nil {
			return err
		}
		if page.End {
			if err := c.wait(changed); err != nil {
				return err
			}
		}
	}
}

func (c *call) consider(r *engine.Record, marks *checkpoints) error {
	match, err := c.shows(r)
	if err != nil {
		return err
	}
	if match {
		if err := c.send(r); err != nil {
			return err
		}
	}
	return marks.considered(r.Position, match)
}

// checkpoints tells a filtered subscriber how far the log was considered, so that it need not consider that again.
type checkpoints struct {
	c     *call
	count uint64          // considered since the last one
	last  engine.Position // the last position the client knows of
	seen  engine.Position // the last position considered
}

func (m *checkpoints) considered(p engine.Position, sent bool) error {
	m.seen = p
	if sent {
		m.last = p
	}
	if m.c.q.filter == nil {
		return nil
	}
	if m.count++; m.count < m.c.q.filter.interval {
		return nil
	}
	return m.send()
}

// reachedEnd spares a client that resumes later the history that held nothing for it.
func (m *checkpoints) reachedEnd() error {
	if m.c.q.filter == nil || m.seen <= m.last {
		return nil
	}
	return m.send()
}

func (m *checkpoints) send() error {
	m.count, m.last = 0, m.seen
	return m.c.out.Send(checkpoint(m.seen))
}

// subscribeStream sends the stream's events behind the starting point, in order, until it is tombstoned. The stream need not exist yet.
func (c *call) subscribeStream() error {
	next, err := c.streamStart()
	if err != nil {
		return err
	}
	if err := c.out.Send(confirmation(uuid.NewString())); err != nil {
		return err
	}
	state := liveness{c: c}
	for {
		changed := c.db.WatchStream(c.q.stream)
		page, err := c.db.ReadStream(c.q.stream, next, engine.Forwards, pageSize)
		if errors.Is(err, engine.ErrStreamMissing) {
			page, err = engine.StreamPage{Next: next, End: true}, nil
		}
		if err != nil {
			return err
		}
		for i := range page.Records {
			if err := c.send(&page.Records[i]); err != nil {
				return err
			}
		}
		next = max(next, page.Next)
		if err := c.going(); err != nil {
			return err
		}
		if err := state.page(page.End); err != nil {
			return err
		}
		if page.End {
			if err := c.wait(changed); err != nil {
				return err
			}
		}
	}
}

// streamStart returns the first revision to send.
func (c *call) streamStart() (engine.Revision, error) {
	switch {
	case c.q.fromEnd:
		page, err := c.db.ReadStream(c.q.stream, engine.LastRevision, engine.Backwards, 1)
		if errors.Is(err, engine.ErrStreamMissing) {
			return 0, nil // deleted or not there: whatever comes is new
		}
		return page.Last + 1, err
	case c.q.after && c.q.revision == math.MaxUint64:
		return c.q.revision, nil
	case c.q.after:
		return c.q.revision + 1, nil
	}
	return 0, nil
}
