package rabbit

import (
	"context"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/fault"
)

// Consumption is a consumer of one queue on a channel of its own, with manual acknowledgement. It dies with its channel,
// or when the queue is deleted: C is closed then, and what was not acknowledged is delivered again to somebody.
type Consumption struct {
	C       <-chan Delivery // closed at the end
	channel *amqp.Channel
	err     atomic.Pointer[fault.Error]
	stop    chan struct{}
	done    chan struct{}
}

// Consume declares the layout and consumes the queue, with at most prefetch deliveries unacknowledged. ctx bounds the
// opening, not the consumption.
func (b *Broker) Consume(ctx context.Context, l Layout, queue string, prefetch int) (*Consumption, error) {
	var deliveries <-chan amqp.Delivery
	ch, _, err := b.consume.channel(ctx, func(ch *amqp.Channel) (err error) {
		deliveries, err = b.open(ch, l, queue, prefetch)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make(chan Delivery)
	c := &Consumption{C: out, channel: ch, stop: make(chan struct{}), done: make(chan struct{})}
	go c.forward(deliveries, out, b.cfg.QuietRefresh)
	return c, nil
}

func (b *Broker) open(ch *amqp.Channel, l Layout, queue string, prefetch int) (<-chan amqp.Delivery, error) {
	if err := b.declare(ch, l); err != nil {
		return nil, err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, translate(err)
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	return deliveries, translate(err)
}

// forward hands deliveries over, until the channel ends or the queue is quiet for too long. A quiet consumption is given up,
// to be opened again, because it may be a ghost: when a queue is deleted and declared again at once, RabbitMQ 3.10 keeps the consumer, hands
// it the new queue's first messages and drops them as duplicates of the old one's. A new channel gets them back.
func (c *Consumption) forward(in <-chan amqp.Delivery, out chan<- Delivery, refresh time.Duration) {
	defer close(c.done)
	defer close(out)
	quiet := time.NewTimer(refresh)
	defer quiet.Stop()
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return
			}
			quiet.Reset(refresh)
			select {
			case out <- delivery(d):
			case <-c.stop:
				return
			}
		case <-quiet.C:
			c.err.Store(ErrQuiet)
			return
		case <-c.stop:
			return
		}
	}
}

// Err says why C is closed: ErrLost, or ErrQuiet if nothing is wrong.
func (c *Consumption) Err() error {
	if err := c.err.Load(); err != nil {
		return err
	}
	return ErrLost
}

// Ack acknowledges the delivery with the tag.
func (c *Consumption) Ack(tag uint64) error { return translate(c.channel.Ack(tag, false)) }

// AckUpTo acknowledges every delivery up to the tag.
func (c *Consumption) AckUpTo(tag uint64) error { return translate(c.channel.Ack(tag, true)) }

// Close ends the consumption. REQUIRES: called once.
func (c *Consumption) Close() {
	close(c.stop)
	_ = c.channel.Close() // it may be gone already
	<-c.done
}
