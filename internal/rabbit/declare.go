package rabbit

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/fault"
)

// Declare makes sure that everything in the layout exists with exactly these arguments; repeating it changes nothing.
// Error: ErrTopology naming what exists otherwise and how to mend it, ErrLogin if permissions lack, Unavailable kinds,
// Timeout if ctx ended: what was begun may be declared nevertheless.
func (b *Broker) Declare(ctx context.Context, l Layout) error {
	_, _, err := b.publish.channel(ctx, func(ch *amqp.Channel) error {
		if err := b.declare(ch, l); err != nil {
			return err
		}
		return ch.Close()
	})
	return err
}

// declare declares for one channel at a time: after a wipe all consumers of a process come at once, and RabbitMQ 3.10 can be left
// with a quorum queue that can't be declared any more (cluster_not_formed) when many declare one that is being deleted.
func (b *Broker) declare(ch *amqp.Channel, l Layout) error {
	b.declaring.Lock()
	defer b.declaring.Unlock()
	for _, e := range l.Exchanges {
		if err := ch.ExchangeDeclare(e.Name, e.Kind, true, false, false, false, nil); err != nil {
			return b.differs("exchange "+e.Name, mismatch(err, "exchange", e.Name))
		}
		b.agrees("exchange " + e.Name)
	}
	for _, q := range l.Queues {
		if _, err := ch.QueueDeclare(q.Name, true, false, false, false, amqp.Table(q.Args)); err != nil {
			return b.differs("queue "+q.Name, mismatch(err, "queue", q.Name))
		}
		b.agrees("queue " + q.Name)
	}
	for _, bind := range l.Bindings {
		if err := declareBinding(ch, bind); err != nil {
			return translate(err)
		}
	}
	return nil
}

// differs remembers a refused declaration for Mismatch.
func (b *Broker) differs(what string, err error) error {
	if errors.Is(err, ErrTopology) {
		b.mismatches.Store(what, err)
	}
	return err
}

func (b *Broker) agrees(what string) { b.mismatches.Delete(what) }

// Mismatch returns ErrTopology while the broker holds a queue or exchange of ours with other arguments than this program
// declares: who works on it can't, and tries again. nil if nothing is known to differ.
func (b *Broker) Mismatch() error {
	var first error
	b.mismatches.Range(func(_, err any) bool {
		first = err.(error) //nolint:forcetypeassert // differs stores nothing else
		return false
	})
	return first
}

func declareBinding(ch *amqp.Channel, b Binding) error {
	if b.ToExchange {
		return ch.ExchangeBind(b.To, b.Key, b.From, false, nil)
	}
	return ch.QueueBind(b.To, b.Key, b.From, false, nil)
}

// mismatch says which thing differs (the broker's reason names the argument and both values) and how to mend it.
func mismatch(err error, what, name string) error {
	var e *amqp.Error
	if !errors.As(err, &e) || e.Code != amqp.PreconditionFailed {
		return translate(err)
	}
	remedy := "stop its consumers, delete it (rabbitmqctl delete_queue " + name + ") and start again: events come back from the store, commands from the sagas' timers"
	if what == "exchange" {
		remedy = "delete it in the management UI and start again"
	}
	return fault.Wrap(err, ErrTopology.Kind, ErrTopology.Code, what+" "+name+" exists with other arguments; "+remedy)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
