package groups

import (
	"slices"
	"time"
)

// Action is what a consumer wants done with a message that it did not take. The numbers are the protocol's.
type Action int32

// The actions.
const (
	Unknown Action = iota // as Retry
	Park
	Retry
	Skip
	Stop // as Skip
)

// Reasons the group itself has to park a message.
const (
	reasonRetries = "the consumer asked for a retry, one too many"
	reasonTimeout = "the consumer did not answer in time, once too often"
)

// Ack settles messages. Ids that nobody holds are ignored: they were answered before, or are nobody's. An answer that comes too late,
// but before the message was sent again, counts.
func (g *Group) Ack(ids ...ID) {
	for _, id := range ids {
		if m := g.answered(id); m != nil {
			g.settle(m)
		}
	}
}

// Nack says what becomes of messages that were not taken. Ids that nobody holds are ignored.
func (g *Group) Nack(action Action, reason string, ids ...ID) {
	switch action {
	case Park:
		for _, id := range ids {
			if m := g.answered(id); m != nil {
				g.park(m, reason)
			}
		}
	case Skip, Stop:
		g.Ack(ids...)
	default:
		var again []*message
		for _, id := range ids {
			if m := g.open[id]; m != nil && m.state == flying {
				again = g.retry(again, m, reason, reasonRetries)
			}
		}
		g.requeue(again)
	}
}

// answered returns the message that an answer means.
func (g *Group) answered(id ID) *message {
	m := g.open[id]
	if m == nil || m.state == parking {
		return nil
	}
	return m
}

// retry appends m to those that are to be sent again, or parks it if it was often enough.
func (g *Group) retry(again []*message, m *message, reason, otherwise string) []*message {
	if m.retries < g.set.MaxRetries {
		g.again(m)
		return append(again, m)
	}
	if reason == "" {
		reason = otherwise
	}
	g.park(m, reason)
	return again
}

func (g *Group) requeue(ms []*message) {
	if len(ms) > 0 {
		g.retries.insert(ms...)
	}
}

// park takes a message from its consumer, or from those to be sent again, and has it stored.
func (g *Group) park(m *message, reason string) {
	if m.state == flying {
		g.land(m)
	}
	m.state, m.reason = parking, reason
	g.parks = append(g.parks, m)
}

// Parked says whether the messages could be stored in the parked stream. Those that could not are handed out again at the next Tick.
func (g *Group) Parked(stored bool, ids ...ID) {
	for _, id := range ids {
		m := g.open[id]
		if m == nil || m.state != parking {
			continue
		}
		if stored {
			g.settle(m)
			continue
		}
		g.unstore = append(g.unstore, m)
	}
}

// Tick takes back what was not answered in time, and lets time be a reason for a checkpoint. About once a second is right.
func (g *Group) Tick(now time.Time) {
	g.ticked, g.blocked = true, false
	g.replay.blocked = false
	g.parks = append(g.parks, g.unstore...)
	g.unstore = g.unstore[:0]
	if g.set.MessageTimeout == 0 {
		return
	}
	var late, again []*message
	for _, m := range g.open {
		if m.state == flying && !now.Before(m.due) {
			late = append(late, m)
		}
	}
	slices.SortFunc(late, inOrder)
	for _, m := range late {
		again = g.retry(again, m, "", reasonTimeout)
	}
	g.requeue(again)
}
