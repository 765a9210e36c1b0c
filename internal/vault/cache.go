package vault

import (
	"container/list"
	"sync"
	"time"

	"github.com/annalhq/annal/internal/pii"
)

// cache holds the keys used last, bounded in number and in age. Tombstones age too, though they never change: there is
// no need to know them for long.
type cache struct {
	size int
	ttl  time.Duration

	mu       sync.Mutex
	erasures uint64 // counts drops: a key read before one must not be put in after it
	entries  map[pii.KeyID]*list.Element
	recent   list.List // of *entry, the last used in front
}

type entry struct {
	id     pii.KeyID
	key    *key
	expire time.Time
}

func newCache(size int, ttl time.Duration) *cache {
	return &cache{size: size, ttl: ttl, entries: map[pii.KeyID]*list.Element{}}
}

// epoch is to be asked before a key is read from the database, and given to put.
func (c *cache) epoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.erasures
}

func (c *cache) get(id pii.KeyID) *key {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[id]
	if !ok {
		return nil
	}
	e := at.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
	if time.Now().After(e.expire) {
		c.remove(at)
		return nil
	}
	c.recent.MoveToFront(at)
	return e.key
}

func (c *cache) put(id pii.KeyID, k *key, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.erasures {
		return
	}
	if at, ok := c.entries[id]; ok {
		c.remove(at)
	}
	c.entries[id] = c.recent.PushFront(&entry{id: id, key: k, expire: time.Now().Add(c.ttl)})
	if c.recent.Len() > c.size {
		c.remove(c.recent.Back())
	}
}

// drop forgets all keys of the person and purpose.
func (c *cache) drop(subject pii.Subject, purpose pii.Purpose) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erasures++
	for id, at := range c.entries {
		if id.Subject == subject && id.Purpose == purpose {
			c.remove(at)
		}
	}
}

// REQUIRES: c.mu is held.
func (c *cache) remove(at *list.Element) {
	e := c.recent.Remove(at).(*entry) //nolint:forcetypeassert // the list holds nothing else
	delete(c.entries, e.id)
}
