package rabbit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

// BusConfig bounds the bus. The zero value is fit for use.
type BusConfig struct {
	Window      int                   // messages in flight; default 500
	SendTimeout time.Duration         // for one call when ctx allows longer; default 15 s
	MaxAttempts int                   // failed attempts after which a command is a dead letter; default 8, about 8 minutes
	Grace       time.Duration         // how long running handlers may go on when Work ends; default 10 s
	MinBackoff  time.Duration         // first wait after a lost connection or queue; default 200 ms
	MaxBackoff  time.Duration         // longest; default 5 s
	Delays      []time.Duration       // tests only: a prefix of the topology's retry delays
	Registerer  prometheus.Registerer // nil: no metrics
	Logger      *slog.Logger          // nil: slog.Default()
}

func (c BusConfig) withDefaults() BusConfig {
	if c.Window <= 0 {
		c.Window = 500
	}
	if c.MaxAttempts <= 0 {
		c.MaxAttempts = 8
	}
	setDefault(&c.SendTimeout, 15*time.Second)
	setDefault(&c.Grace, 10*time.Second)
	setDefault(&c.MinBackoff, 200*time.Millisecond)
	setDefault(&c.MaxBackoff, 5*time.Second)
	if len(c.Delays) == 0 {
		c.Delays = retryDelays[:]
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Bus carries commands and replies. What Send and Reply report as sent was confirmed by the broker and lies in a queue; it may be
// delivered twice. What a handler did is acknowledged afterwards. Safe for concurrent use.
type Bus struct {
	broker  *Broker
	cfg     BusConfig
	metrics *busMetrics

	ctx    context.Context // ends with Close, and so does every Send
	cancel context.CancelFunc

	turn      chan struct{} // holds one while somebody uses what follows; a channel, since its holder may wait for the broker
	publisher *Publisher
	declared  map[string]bool // queues that were declared since the publisher was opened
}

// NewBus returns a bus. Close ends it. Fault: METRICS_REFUSED.
func NewBus(broker *Broker, cfg BusConfig) (*Bus, error) {
	cfg = cfg.withDefaults()
	m, err := newBusMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	b := &Bus{broker: broker, cfg: cfg, metrics: m, turn: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// Close ends the bus's publisher; a Send that waits for the broker ends with ErrLost, and so does every later one. Work and
// Replies end with their contexts.
func (b *Bus) Close() {
	b.cancel()
	b.turn <- struct{}{} // soon: its holder heard the same
	defer b.yield()
	if b.publisher != nil {
		b.publisher.Close()
		b.publisher = nil
	}
}

// Send puts the commands into their services' queues. After an error some may lie there already: send all again, under the same
// ids. Faults: BROKER_REFUSED if a queue is full, Unavailable and Timeout kinds, BROKER_TOPOLOGY_MISMATCH.
func (b *Bus) Send(ctx context.Context, commands ...Command) error {
	messages := make([]Message, len(commands))
	var layout Layout
	for i, c := range commands {
		if c.Traceparent == "" {
			c.Traceparent = telemetry.Traceparent(ctx)
		}
		s := startSend(telemetry.WithTraceparent(ctx, c.Traceparent), c.queue(), c.ID.String())
		defer s.End()
		c.Traceparent = cmpText(s.traceparent(), c.Traceparent)
		messages[i] = c.message()
		layout = layout.Plus(ServiceLayout(c.Service))
	}
	return b.deliver(ctx, layout, messages)
}

// Reply answers a command. to is the command's ReplyTo. Faults: see Send.
func (b *Bus) Reply(ctx context.Context, to string, r Reply) error {
	if r.Traceparent == "" {
		r.Traceparent = telemetry.Traceparent(ctx)
	}
	return b.deliver(ctx, RepliesLayout(), []Message{r.message(to)})
}

const deliverAttempts = 4

// deliver publishes until everything is confirmed. A queue that has gone since it was declared is declared again, but not at
// once: its consumers are told of the end first (see Consumption.forward).
func (b *Bus) deliver(ctx context.Context, layout Layout, messages []Message) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.SendTimeout)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	backoff := NewBackoff(b.cfg.MinBackoff, b.cfg.MaxBackoff)
	for attempt := 1; ; attempt++ {
		failed, err := b.publishAll(ctx, layout, messages)
		if len(failed) == 0 {
			return nil
		}
		if b.ctx.Err() != nil {
			return ErrLost
		}
		if attempt == deliverAttempts || errors.Is(err, ErrNacked) || errors.Is(err, ErrTopology) || errors.Is(err, ErrLogin) || !backoff.Wait(ctx) {
			return err
		}
		if errors.Is(err, ErrReturned) {
			b.forget(ctx, layout)
		}
		messages = failed
	}
}

// publishAll returns the messages that were not confirmed, and one of the reasons.
func (b *Bus) publishAll(ctx context.Context, layout Layout, messages []Message) (failed []Message, reason error) {
	p, err := b.open(ctx, layout)
	if err != nil {
		return messages, err
	}
	type outcome struct {
		index int
		err   error
	}
	settled := make(chan outcome, len(messages)) // room for all: settling never blocks
	pending := 0
	for i, m := range messages {
		if err := p.Publish(ctx, m, func(err error) { settled <- outcome{i, err} }); err != nil {
			settled <- outcome{i, err}
		}
		pending++
	}
	done := make(map[int]bool, len(messages))
	for ; pending > 0; pending-- {
		select {
		case o := <-settled:
			if o.err != nil {
				reason = o.err
			} else {
				done[o.index] = true
			}
		case <-ctx.Done():
			return unsettled(messages, done), fault.Wrap(ctx.Err(), ErrConfirmTimeout.Kind, ErrConfirmTimeout.Code, ErrConfirmTimeout.Message)
		}
	}
	return unsettled(messages, done), reason
}

func unsettled(messages []Message, done map[int]bool) (left []Message) {
	for i, m := range messages {
		if !done[i] {
			left = append(left, m)
		}
	}
	return left
}

// open returns a live publisher that has found or declared the layout. Exchanges come first: publishing to one that is missing
// would end the channel.
func (b *Bus) open(ctx context.Context, layout Layout) (*Publisher, error) {
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	defer b.yield()
	if b.publisher != nil {
		select {
		case <-b.publisher.Done():
			b.publisher = nil
		default:
		}
	}
	if b.publisher == nil {
		b.declared = make(map[string]bool)
		if err := b.broker.Declare(ctx, Layout{Exchanges: append(workExchanges().Exchanges, Exchange{NoticesExchange, "fanout"})}); err != nil {
			return nil, err
		}
		p, err := b.broker.Publisher(ctx, b.cfg.Window)
		if err != nil {
			return nil, err
		}
		b.publisher = p
	}
	return b.publisher, b.declare(ctx, layout)
}

// take waits for the turn as long as ctx allows.
func (b *Bus) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return translate(ctx.Err())
	}
}

func (b *Bus) yield() { <-b.turn }

// REQUIRES: the turn is taken.
func (b *Bus) declare(ctx context.Context, layout Layout) error {
	known := true
	for _, q := range layout.Queues {
		known = known && b.declared[q.Name]
	}
	if known {
		return nil
	}
	if err := b.broker.Declare(ctx, layout); err != nil {
		return err
	}
	for _, q := range layout.Queues {
		b.declared[q.Name] = true
	}
	return nil
}

func (b *Bus) forget(ctx context.Context, layout Layout) {
	if b.take(ctx) != nil {
		return // the caller's time is over, and the next call is returned again
	}
	defer b.yield()
	for _, q := range layout.Queues {
		delete(b.declared, q.Name)
	}
}

func cmpText(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
