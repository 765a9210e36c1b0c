package sagas

import (
	"container/list"
	"sync"

	"github.com/annalhq/annal/eventstore"
)

// cache keeps hot sagas, least recently used out first, bounded by the lines of their orders. It saves a read per answer; what it
// says is proved by an append, or by reading the stream's tail.
type cache struct {
	mu     sync.Mutex // guards all
	limit  int
	weight int
	order  *list.List // of instance, most recently used first
	slots  map[eventstore.Stream]*list.Element
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), slots: map[eventstore.Stream]*list.Element{}}
}

func (c *cache) get(s eventstore.Stream) (instance, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.slots[s]
	if !ok {
		return instance{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(instance), true
}

// put keeps the instance unless a later one of the saga is kept, or the saga ended.
func (c *cache) put(i instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.slots[i.stream]; ok && e.Value.(instance).revision >= i.revision {
		return
	}
	c.remove(i.stream)
	if i.ended() || i.revision == eventstore.NoStream {
		return
	}
	c.slots[i.stream] = c.order.PushFront(i)
	c.weight += cost(i)
	for c.weight > c.limit && c.order.Len() > 0 {
		c.remove(c.order.Back().Value.(instance).stream)
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
		c.weight -= cost(e.Value.(instance))
		c.order.Remove(e)
		delete(c.slots, s)
	}
}

// cost is in order lines; what a saga costs besides its lines is about eight of them.
func cost(i instance) int { return 8 + i.weight() }
