package server_test

import (
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// Whoever tombstones a stream in which a group keeps its state takes the group's name away: that is said, of the stream that it was, and the group
// can still be deleted.
func TestATombstonedStreamOfAGroupIsNamed(t *testing.T) {
	s := servertest.Start(t)
	c := connect(t, s)
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	own := "$persistentsubscription-s::g-checkpoint"
	if _, err := c.TombstoneStream(within(t), own, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if err := c.DeletePersistentSubscription(within(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Errorf("the group can't be deleted: %v", err)
	}
	groups := persistent.NewPersistentSubscriptionsClient(dial(t, s))
	code, trailers := told(t, func(opts ...grpc.CallOption) error {
		_, err := groups.Create(within(t), streamGroup("s", "g", plainSettings()), opts...)
		if err == nil || !strings.Contains(err.Error(), own) || !strings.Contains(err.Error(), "another name") {
			t.Errorf("created again: %v", err)
		}
		return err
	})
	if name := trailers.Get("stream-name"); code != codes.FailedPrecondition || len(name) != 1 || name[0] != own {
		t.Errorf("%v %v", code, trailers)
	}
	createGroup(t, c, "s", "g2", esdb.Start{}, nil)
}
