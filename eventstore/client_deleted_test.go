package eventstore_test

import (
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// Annal deletes no stream, so the contract says nothing of it; an operator may, by other means, and must be told so.
func TestADeletedStreamIsTold(t *testing.T) {
	url := servertest.Start(t)
	conf, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	operator, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close() //nolint:errcheck // returns nil always
	for _, plain := range []bool{false, true} {
		c := dial(t, url, eventstore.Config{PlainAppend: plain})
		stream := eventstore.Order.Stream(event(0)[0].ID.String())
		if _, err := c.Append(t.Context(), stream, eventstore.NoStream, event(0)); err != nil {
			t.Fatal(err)
		}
		if _, err := operator.TombstoneStream(t.Context(), string(stream), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Append(t.Context(), stream, 0, event(1)); !errors.Is(err, eventstore.ErrStreamDeleted) {
			t.Errorf("append, plain %t: %v", plain, err)
		}
		for _, err := range c.ReadStream(t.Context(), stream, 0) {
			if !errors.Is(err, eventstore.ErrStreamDeleted) {
				t.Errorf("read: %v", err)
			}
		}
		for r, err := range c.ReadAll(t.Context(), 0, eventstore.Filter{}) { // its events stay, its tombstone is no domain event
			if err != nil || r.Type != "test.happened.v1" {
				t.Errorf("%q, %v", r.Type, err)
			}
		}
	}
}
