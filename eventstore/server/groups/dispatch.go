package groups

import (
	"slices"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// ErrTooManyConsumers refuses a consumer beyond Settings.MaxConsumers.
var ErrTooManyConsumers = fault.New(fault.Exhausted, "TOO_MANY_CONSUMERS", "the group has as many consumers as its settings allow")

// Join adds a consumer that may hold size messages at a time. It returns ErrTooManyConsumers.
func (g *Group) Join(id Consumer, size int) error {
	if g.set.MaxConsumers > 0 && len(g.consumers) >= g.set.MaxConsumers {
		return ErrTooManyConsumers
	}
	c := &consumer{id: id, size: min(max(size, 1), MaxInFlight)}
	g.consumers = append(g.consumers, c)
	g.free += c.size
	return nil
}

// Leave removes a consumer; what it has is sent again to others, in order, and never parked for that. An unknown one is ignored.
func (g *Group) Leave(id Consumer) {
	i := slices.IndexFunc(g.consumers, func(c *consumer) bool { return c.id == id })
	if i < 0 {
		return
	}
	c := g.consumers[i]
	var lost []*message
	for _, m := range g.open {
		if m.holder == c {
			lost = append(lost, m)
		}
	}
	for _, m := range lost {
		g.again(m)
	}
	if len(lost) > 0 {
		g.retries.insert(lost...)
	}
	g.strategy.left(g.consumers, i)
	g.consumers = slices.Delete(g.consumers, i, i+1)
	g.free -= c.size
}

// dispatch hands out what is to be sent again, then what waits.
func (g *Group) dispatch(now time.Time) {
	var held []uint64 // buckets of pinned messages that wait for another with their id
	try := func(m *message) verdict { return g.try(m, &held, now) }
	g.retries.scan(try)
	g.buffer.scan(try)
}

func (g *Group) try(m *message, held *[]uint64, now time.Time) verdict {
	if m.state == done || m.state == parking {
		return take // answered when it was on its way to be sent again
	}
	if g.free == 0 || m.state == waiting && len(g.open) >= MaxOutstanding {
		return stop
	}
	pins := g.strategy.pins()
	if pins && slices.Contains(*held, bucketOf(m)) {
		return keep
	}
	if twin := g.open[m.ID]; twin != nil && twin != m {
		if pins {
			*held = append(*held, bucketOf(m))
		}
		return keep
	}
	c := g.strategy.pick(g.consumers, m)
	switch {
	case c != nil:
		g.send(c, m, now)
		return take
	case pins:
		return keep
	}
	return stop
}

func (g *Group) send(c *consumer, m *message, now time.Time) {
	m.state, m.holder, m.due = flying, c, time.Time{}
	if g.set.MessageTimeout > 0 {
		m.due = now.Add(g.set.MessageTimeout)
	}
	g.open[m.ID] = m
	c.held++
	g.free--
	g.flying++
	g.out.Deliveries = append(g.out.Deliveries, Delivery{Ref: m.Ref, To: c.id, Retries: m.retries})
}

// Holds reports whether the consumer still has this delivery to answer: whoever queues deliveries can drop the others.
func (g *Group) Holds(d Delivery) bool {
	m := g.open[d.ID]
	return m != nil && m.state == flying && m.Ref == d.Ref && m.retries == d.Retries && m.holder.id == d.To
}

// land takes a flying message from its consumer.
func (g *Group) land(m *message) {
	m.holder.held--
	m.holder = nil
	g.free++
	g.flying--
}

// again lets a flying message be sent once more. The caller puts it into the queue.
func (g *Group) again(m *message) {
	g.land(m)
	m.state = retrying
	m.retries++
}

// settle ends a message.
func (g *Group) settle(m *message) {
	if m.state == flying {
		g.land(m)
	}
	m.state = done
	delete(g.open, m.ID)
	if m.Replay {
		g.replay.unsettled.settle()
	} else {
		g.unsettled.settle()
	}
}
