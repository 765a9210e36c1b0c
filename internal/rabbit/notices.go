package rabbit

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/google/uuid"
)

// Notice is news for every process that is up right now: an order moved, a key must be dropped from caches. It may be lost;
// whoever needs certainty asks a read model.
type Notice struct {
	Topic string // "order", "key"
	Key   string // the id that the news is about
	Body  []byte // JSON, without personal data
}

// Notify sends a notice to every process that listens. Faults: see Send.
func (b *Bus) Notify(ctx context.Context, n Notice) error {
	return b.deliver(ctx, Layout{}, []Message{{
		Exchange: NoticesExchange, Key: n.Topic, ID: uuid.NewString(), Type: n.Topic, ContentType: contentType, Transient: true,
		Headers: map[string]any{headerKey: n.Key}, Body: n.Body,
	}})
}

// Notices hands over every notice until ctx ends, then it returns nil. After each new connection lost is called first (nil
// allowed), since notices may have been missed. handle must be quick: a slow process loses its oldest notices, nobody else's.
func (b *Bus) Notices(ctx context.Context, lost func(), handle func(Notice)) error {
	backoff := NewBackoff(b.cfg.MinBackoff, b.cfg.MaxBackoff)
	for {
		began := time.Now()
		err := b.listen(ctx, lost, handle)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > b.cfg.MaxBackoff {
			backoff.Reset()
		}
		b.cfg.Logger.WarnContext(ctx, "notices are listened to again", "error", err)
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

func (b *Bus) listen(ctx context.Context, lost func(), handle func(Notice)) error {
	var notices <-chan amqp.Delivery
	ch, _, err := b.broker.consume.channel(ctx, func(ch *amqp.Channel) (err error) {
		notices, err = b.broker.noticeQueue(ch)
		return err
	})
	if err != nil {
		return err
	}
	defer ch.Close() //nolint:errcheck // it may be gone already
	if lost != nil {
		lost()
	}
	for {
		select {
		case d, ok := <-notices:
			if !ok {
				return ErrLost
			}
			m := delivery(d)
			handle(Notice{Topic: m.Key, Key: m.text(headerKey), Body: m.Body})
			if err := ch.Ack(d.DeliveryTag, false); err != nil {
				return translate(err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// noticeQueue declares this process's own queue: exclusive, gone with the connection. (Exclusive queues can't be quorum queues.)
func (b *Broker) noticeQueue(ch *amqp.Channel) (<-chan amqp.Delivery, error) {
	const prefetch = 256
	if err := b.declare(ch, Layout{Exchanges: []Exchange{{NoticesExchange, "fanout"}}}); err != nil {
		return nil, err
	}
	q, err := ch.QueueDeclare("", false, true, true, false, amqp.Table{
		"x-queue-type": "classic", "x-overflow": "drop-head", "x-max-length": int64(noticeQueueLength), "x-message-ttl": noticeTTL.Milliseconds(),
	})
	if err != nil {
		return nil, translate(err)
	}
	if err := ch.QueueBind(q.Name, "", NoticesExchange, false, nil); err != nil {
		return nil, translate(err)
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return nil, translate(err)
	}
	notices, err := ch.Consume(q.Name, "", false, true, false, false, nil)
	return notices, translate(err)
}
