package commands

import (
	"container/list"
	"maps"
	"sync"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

// An entry is what is known of one stream: its state at a revision, and which commands appended to it. Entries are
// immutable once they are in the cache; a newer one replaces an older one.
type entry[S any] struct {
	state    S
	revision eventstore.Revision
	position eventstore.Position   // of the last event folded
	last     uuid.UUID             // its id
	commands map[commandID]applied // guarded by the stream's lane: only its leader reads and writes; nil where nobody asks for them
	heard    heard                 // of all commands, also of those that a snapshot covers and that are not in commands
	saved    eventstore.Revision   // that the newest snapshot covers, as far as it is known or on its way; guarded by the lane
	weight   int                   // events folded
}

type commandID = uuid.UUID

func emptyEntry[S any]() *entry[S] {
	return &entry[S]{revision: eventstore.NoStream, saved: eventstore.NoStream, commands: map[commandID]applied{}}
}

// clone returns an entry to fold on with, that leaves e as it is.
func (e *entry[S]) clone() *entry[S] {
	next := *e
	next.commands = maps.Clone(e.commands)
	return &next
}

// applied is what a command left in a stream.
type applied struct {
	mac         string
	revision    eventstore.Revision
	position    eventstore.Position
	correlation string
}

// cache keeps the entries of hot streams, least recently used out first, bounded by the number of events that they were
// folded from (which bounds their maps of commands). It is an accelerator only: what it says is proved by an append or by
// reading the stream's tail.
type cache struct {
	mu     sync.Mutex
	limit  int
	weight int
	order  *list.List // of *slot, most recently used first
	slots  map[eventstore.Stream]*list.Element
}

type slot struct {
	stream eventstore.Stream
	entry  any
	weight int
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), slots: map[eventstore.Stream]*list.Element{}}
}

func (c *cache) get(s eventstore.Stream) (any, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.slots[s]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*slot).entry, true
}

func (c *cache) put(s eventstore.Stream, entry any, weight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(s)
	weight++ // an empty stream costs something too
	if weight > c.limit/4 {
		return
	}
	c.slots[s] = c.order.PushFront(&slot{stream: s, entry: entry, weight: weight})
	c.weight += weight
	for c.weight > c.limit {
		c.remove(c.order.Back().Value.(*slot).stream)
	}
}

func (c *cache) drop(s eventstore.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(s)
}

// REQUIRES: c.mu is held.
func (c *cache) remove(s eventstore.Stream) {
	if e, ok := c.slots[s]; ok {
		c.weight -= e.Value.(*slot).weight
		c.order.Remove(e)
		delete(c.slots, s)
	}
}
