package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

// queuedBytes is how much of events a consumer's queue holds: behind that it holds references only, and the sender reads the events
// from the log when the client has taken those before.
const queuedBytes = 1 << 20

// queued is a message on its way to a consumer.
type queued struct {
	groups.Delivery
	record *engine.Record // nil: to be read
}

// consumer is a client that takes messages of a group. The group's goroutine fills its queue and never waits for it; the call's
// goroutine empties it as fast as the client reads.
type consumer struct {
	id   groups.Consumer // the group's
	size int
	from string
	name string
	user string
	sent meter // the group's

	mu    sync.Mutex
	queue []queued
	bytes int
	wake  chan struct{} // capacity 1

	dropped chan struct{} // closed by the group, after why
	why     error
}

func newConsumer(ctx context.Context, size int, user string) *consumer {
	c := &consumer{size: size, name: "<unknown>", user: cmp.Or(user, "anonymous"), wake: make(chan struct{}, 1), dropped: make(chan struct{})}
	if p, ok := peer.FromContext(ctx); ok {
		c.from = p.Addr.String()
	}
	if names := metadata.ValueFromIncomingContext(ctx, "connection-name"); len(names) > 0 && names[0] != "" {
		c.name = shown(names[0])
	}
	return c
}

// maxName is how many bytes of a connection's name are told.
const maxName = 256

// shown makes text of what a client calls its connection. A header may hold any bytes; in an answer they would break it, and with it what
// everybody else is told of the group.
func shown(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "\uFFFD")
}

// push adds a message. If answers never come, messages time out and come again: what is no longer held is then thrown out.
func (c *consumer) push(d groups.Delivery, record *engine.Record, held func(groups.Delivery) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) >= 2*c.size+16 {
		kept := c.queue[:0]
		c.bytes = 0
		for _, q := range c.queue {
			if held(q.Delivery) {
				kept = append(kept, q)
				c.bytes += weight(q.record)
			}
		}
		clear(c.queue[len(kept):])
		c.queue = kept
	}
	if c.bytes+weight(record) > queuedBytes {
		record = nil
	}
	c.bytes += weight(record)
	c.queue = append(c.queue, queued{d, record})
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (c *consumer) take() []queued {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.queue
	c.queue, c.bytes = nil, 0
	return all
}

// drop ends the call. The group calls it once, when the consumer leaves its list.
func (c *consumer) drop(why error) {
	c.why = why
	close(c.dropped)
}

func weight(r *engine.Record) int {
	if r == nil {
		return 0
	}
	return len(r.Data) + len(r.Metadata) + len(r.Stream) + len(r.Type) + 200
}

// Read connects a consumer to a group: confirmation, then messages for ever, while answers come in.
func (p *persistentSubscriptions) Read(io persistent.PersistentSubscriptions_ReadServer) error {
	ctx := io.Context()
	key, size, encoder, err := parseRead(io)
	if err != nil {
		return err
	}
	c := newConsumer(ctx, size, p.s.gate.caller(ctx).Name)
	var g *group
	err = p.groups.with(ctx, key, func(found *group) error {
		g = found
		return found.join(ctx, c)
	})
	if err != nil {
		return p.failed(ctx, key, err)
	}
	defer g.leave(c)
	if err := io.Send(confirmedGroup(key)); err != nil {
		return err
	}
	answers := make(chan error, 1)
	go func() { answers <- receiveAnswers(io, g) }() // ends with the call
	s := &sender{g: g, c: c, io: io, encoder: encoder}
	return p.failed(ctx, key, s.run(ctx, answers, p.s.stopping))
}

func parseRead(in persistent.PersistentSubscriptions_ReadServer) (key groupKey, size int, e encoder, err error) {
	m, err := in.Recv()
	if errors.Is(err, io.EOF) {
		return key, 0, e, invalid("the call has no options")
	}
	if err != nil {
		return key, 0, e, err
	}
	o := m.GetOptions()
	if o == nil {
		return key, 0, e, invalid("the call must begin with its options: source, group and buffer size")
	}
	if o.GetBufferSize() < 1 {
		return key, 0, e, invalid("buffer_size must be at least 1")
	}
	_, e.textIDs = o.GetUuidOption().GetContent().(*persistent.ReadReq_Options_UUIDOption_String_)
	key, err = parseKey(o)
	return key, int(o.GetBufferSize()), e, err
}

// receiveAnswers passes acks and nacks on until the client sends no more: nil, or why the call must end.
func receiveAnswers(in persistent.PersistentSubscriptions_ReadServer, g *group) error {
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var answer func(*groups.Group)
		switch content := m.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			ids, err := parseUUIDs(content.Ack.GetIds())
			if err != nil {
				return err
			}
			answer = func(m *groups.Group) { m.Ack(ids...) }
		case *persistent.ReadReq_Nack_:
			ids, err := parseUUIDs(content.Nack.GetIds())
			if err != nil {
				return err
			}
			action, reason := groups.Action(content.Nack.GetAction()), shortened(content.Nack.GetReason())
			answer = func(m *groups.Group) { m.Nack(action, reason, ids...) }
		default:
			return invalid("only ack and nack may follow the options")
		}
		if err := g.do(in.Context(), func(l *groupLoop) { answer(l.machine) }); err != nil {
			return err
		}
	}
}

func shortened(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return string([]rune(reason[:maxReason])) // a character cut in two becomes the replacement character
}

// sender sends what the group has for a consumer.
type sender struct {
	g       *group
	c       *consumer
	io      persistent.PersistentSubscriptions_ReadServer
	encoder encoder
}

func (s *sender) run(ctx context.Context, answers chan error, stopping <-chan struct{}) error {
	for {
		select {
		case <-s.c.wake:
			if err := s.send(ctx, stopping); err != nil {
				return err
			}
		case err := <-answers:
			if err != nil {
				return err
			}
			answers = nil // the client sends no more, and may still listen
		case <-stopping:
			return errStopping()
		case <-s.c.dropped:
			return s.c.why
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *sender) send(ctx context.Context, stopping <-chan struct{}) error {
	for _, q := range s.c.take() {
		select {
		case <-stopping:
			return errStopping()
		case <-s.c.dropped:
			return s.c.why
		default:
		}
		m, ok, err := s.message(q)
		if err != nil {
			return err
		}
		if !ok {
			if err := s.g.do(ctx, func(l *groupLoop) { l.machine.Nack(groups.Skip, "", q.ID) }); err != nil {
				return err
			}
			continue
		}
		if err := s.io.Send(s.encoder.delivery(m, q.Retries)); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) message(q queued) (message, bool, error) {
	if q.record == nil {
		return s.g.source.load(q.Ref)
	}
	m, err := s.g.source.resolve(q.record)
	return m, err == nil, err
}

func confirmedGroup(k groupKey) *persistent.ReadResp {
	return &persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: k.String()},
	}}
}

// delivery encodes a message of a group. The real server's messages of this service are those of reads under other names.
func (e encoder) delivery(m message, retries int32) *persistent.ReadResp {
	event := &persistent.ReadResp_ReadEvent{
		Event: e.groupRecord(m.event), Link: e.groupRecord(m.link),
		Position: &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(m.original().Position)},
		Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: retries},
	}
	return &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: event}}
}

func (e encoder) groupRecord(r *engine.Record) *persistent.ReadResp_ReadEvent_RecordedEvent {
	if r == nil {
		return nil
	}
	x := e.recorded(r)
	return &persistent.ReadResp_ReadEvent_RecordedEvent{
		Id: x.GetId(), StreamIdentifier: x.GetStreamIdentifier(), StreamRevision: x.GetStreamRevision(),
		PreparePosition: x.GetPreparePosition(), CommitPosition: x.GetCommitPosition(),
		Metadata: x.GetMetadata(), CustomMetadata: x.GetCustomMetadata(), Data: x.GetData(),
	}
}
