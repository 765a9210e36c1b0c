package eventstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

// Wrong credentials are no outage: they are told at once, by whichever call is first, and the right ones then work in a new client.
func TestWrongCredentialsAreToldAtOnce(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("shop", "writer"), servertest.Someone("relay", "reader"))
	for name, url := range map[string]string{"wrong": s.With("shop", "a guess of mine"), "none": s.URL, "unknown": s.As("eve")} {
		c := dial(t, url, eventstore.Config{Patience: time.Hour})
		_, appending := c.Append(t.Context(), "order-1", eventstore.NoStream, event(0))
		_, head := c.Head(t.Context())
		for _, err := range []error{appending, head} {
			if fault.CodeOf(err) != "STORE_CREDENTIALS" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	reader := dial(t, s.As("relay"), eventstore.Config{})
	if _, err := reader.Head(t.Context()); err != nil {
		t.Error(err)
	}
	for _, plain := range []bool{false, true} {
		c := dial(t, s.As("relay"), eventstore.Config{PlainAppend: plain})
		_, err := c.Append(t.Context(), "order-1", eventstore.NoStream, event(0))
		for try := 0; plain && errors.Is(err, eventstore.ErrUnavailable) && try < 50; try++ { // refused while it sent, the official client doesn't look why
			_, err = c.Append(t.Context(), "order-1", eventstore.NoStream, event(0))
		}
		if fault.CodeOf(err) != "STORE_CREDENTIALS" {
			t.Errorf("a reader appends, plain %v: %v", plain, err)
		}
	}
}

// A client whose user loses the right to append is told so over the stream that it appended on, and works again when it has the right
// back; who only reads notices nothing.
func TestAClientLivesThroughAChangeOfItsUser(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"), servertest.Someone("shop", "writer"))
	c := dial(t, s.As("shop"), eventstore.Config{})
	at, next := eventstore.NoStream, event(0)
	for _, roles := range []string{"writer", "reader", "writer"} {
		if _, err := access.Put(s.UsersFile, servertest.Someone("shop", roles)); err != nil {
			t.Fatal(err)
		}
		for {
			done, err := c.Append(t.Context(), "order-1", at, next) // again the same, when the outcome is unknown
			if err == nil {
				at, next = done.Revision, event(int(done.Revision)+1)
			} else if fault.CodeOf(err) != "STORE_CREDENTIALS" && !errors.Is(err, eventstore.ErrUnavailable) {
				t.Fatalf("as a %s: %v", roles, err)
			}
			if (roles == "writer") == (err == nil) {
				break
			}
		}
		if _, err := c.Head(t.Context()); err != nil {
			t.Errorf("reading as a %s: %v", roles, err)
		}
	}
}
