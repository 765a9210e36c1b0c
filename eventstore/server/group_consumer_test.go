package server

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

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

// A header may hold any bytes; a name that is no text would break what everybody is told of the group.
func TestANameOfAConnectionIsToldAsText(t *testing.T) {
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("connection-name", "caf\xe9 "+strings.Repeat("x", 60_000)))
	c := newConsumer(ctx, 1, "")
	if !utf8.ValidString(c.name) || len(c.name) > 300 || !strings.HasPrefix(c.name, "caf\uFFFD x") {
		t.Errorf("%d bytes: %.40q", len(c.name), c.name)
	}
	if _, err := proto.Marshal(&persistent.SubscriptionInfo_ConnectionInfo{ConnectionName: c.name}); err != nil {
		t.Error(err)
	}
}
