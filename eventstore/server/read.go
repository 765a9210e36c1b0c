package server

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/annalhq/annal/eventstore/engine"
)

// pageSize is how many records one look into the engine brings at most.
const pageSize = 512

// Read answers reads and subscriptions of a stream or of the whole log.
func (s *Server) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	q, err := parseQuery(req)
	if err != nil {
		return err
	}
	c := &call{Server: s, q: q, out: out, ctx: out.Context()}
	if q.subscribe {
		s.subscriptions.Add(1)
		defer s.subscriptions.Add(-1)
	}
	switch {
	case q.subscribe && q.stream == "":
		err = c.subscribeAll()
	case q.subscribe:
		err = c.subscribeStream()
	case q.stream == "":
		err = c.readAll()
	default:
		err = c.readStream()
	}
	return s.failed(c.ctx, q.stream, err)
}

// call is one Read in progress.
type call struct {
	*Server
	q   *query
	out streams.Streams_ReadServer
	ctx context.Context
}

// going returns why the call must end, nil if it need not. Sending alone would notice too late, or never if nothing matches.
func (c *call) going() error {
	select {
	case <-c.stopping:
		return errStopping()
	default:
		return c.ctx.Err()
	}
}

func (c *call) readAll() error {
	from := c.q.position
	if c.q.dir == engine.Forwards && c.q.fromEnd || c.q.dir == engine.Backwards && !c.q.fromEnd && !c.q.after {
		return nil // forwards from the end, backwards from the start
	}
	for left := c.q.count; left > 0; {
		limit := uint64(pageSize)
		if c.q.filter == nil {
			limit = min(limit, left)
		}
		page, err := c.db.ReadAll(from, c.q.dir, int(limit))
		if err != nil {
			return err
		}
		for i := range page.Records {
			r := &page.Records[i]
			match, err := c.shows(r)
			if err != nil {
				return err
			}
			if !match {
				continue
			}
			if err := c.send(r); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		if page.End {
			return nil
		}
		from = page.Next
		if err := c.going(); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) shows(r *engine.Record) (bool, error) {
	if hidden(r) {
		return false, nil
	}
	if c.q.filter.slow() {
		if err := c.going(); err != nil {
			return false, err
		}
	}
	return c.q.filter.matches(r)
}

func (c *call) readStream() error {
	if c.q.dir == engine.Forwards && c.q.fromEnd {
		return invalid("a stream can't be read forwards from its end")
	}
	from, left := c.q.revision, c.q.count
	for first := true; first || left > 0; first = false {
		page, err := c.db.ReadStream(c.q.stream, from, c.q.dir, int(min(pageSize, left)))
		if errors.Is(err, engine.ErrStreamMissing) && first {
			return c.out.Send(streamNotFound(c.q.stream))
		}
		if errors.Is(err, engine.ErrStreamMissing) {
			return nil // deleted while it was read
		}
		if err != nil {
			return err
		}
		if first {
			if err := c.sendFirst(&page); err != nil {
				return err
			}
		}
		for i := range page.Records {
			if err := c.send(&page.Records[i]); err != nil {
				return err
			}
		}
		left -= uint64(len(page.Records))
		if page.End || left == 0 {
			return c.sendLast(&page)
		}
		from = page.Next
		if err := c.going(); err != nil {
			return err
		}
	}
	return nil
}

// sendFirst tells newer clients where a stream begins if they asked for what is truncated. Older ones end their process on such a message.
// (The vendor's server says it only if a whole page of its own lies before; here the page is no reason.)
func (c *call) sendFirst(page *engine.StreamPage) error {
	if c.q.compat == 0 || c.q.dir == engine.Backwards || page.First <= c.q.revision || page.First > page.Last {
		return nil
	}
	return c.out.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(page.First)}})
}

func (c *call) sendLast(page *engine.StreamPage) error {
	if c.q.compat == 0 {
		return nil
	}
	return c.out.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(page.Last)}})
}

// send sends an event, or the event that a link points to if the client wants links resolved.
func (c *call) send(r *engine.Record) error {
	if !c.q.resolve {
		return c.out.SendMsg(c.q.encoder.encoded(r))
	}
	target, isLink, err := follow(c.db, r)
	if err != nil {
		return err
	}
	if !isLink {
		return c.out.SendMsg(c.q.encoder.encoded(r))
	}
	return c.out.Send(c.q.encoder.resolved(r, target))
}
