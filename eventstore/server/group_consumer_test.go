package server

import (
	"testing"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

// TestAQueueThatNobodyEmptiesIsBounded: messages time out and come again, to a client that reads nothing.
func TestAQueueThatNobodyEmptiesIsBounded(t *testing.T) {
	c := &consumer{size: 10, wake: make(chan struct{}, 1)}
	record := &engine.Record{Event: engine.Event{Data: make([]byte, 300_000)}}
	for n := range 10_000 {
		held := func(d groups.Delivery) bool { return int(d.Retries) > n-10 }
		c.push(groups.Delivery{Retries: int32(n)}, record, held)
		if len(c.queue) > 2*c.size+16 || c.bytes > queuedBytes {
			t.Fatalf("%d messages and %d bytes wait for a consumer of %d", len(c.queue), c.bytes, c.size)
		}
	}
	all := c.take()
	for i := range 10 {
		if q := all[len(all)-1-i]; int(q.Retries) != 10_000-1-i {
			t.Errorf("message %d is missing or out of order: %d", 10_000-1-i, q.Retries)
		}
	}
	if c.bytes != 0 || len(c.take()) != 0 {
		t.Error("something is left")
	}
}
