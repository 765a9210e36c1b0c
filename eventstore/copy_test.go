package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

// twoStores are a source with n rounds of interleaved orders and payments, a long stream, large events, and what must stay behind; and
// an empty target.
func twoStores(t *testing.T, rounds int) (source, target *eventstore.Client) {
	t.Helper()
	source = dial(t, servertest.Start(t), eventstore.Config{})
	target = dial(t, servertest.Start(t), eventstore.Config{})
	for n := range rounds {
		for _, stream := range []eventstore.Stream{"order-1", "payment-1", eventstore.Stream(fmt.Sprintf("order-%d", n+2)), "snapshot-order-1"} {
			revision := eventstore.Revision(n - 1)
			if stream == eventstore.Stream(fmt.Sprintf("order-%d", n+2)) {
				revision = eventstore.NoStream
			}
			put(t, source, stream, revision, event(n))
		}
	}
	var long []eventstore.Event
	for n := range 700 {
		long = append(long, event(n)...)
	}
	put(t, source, "inventory-LONG", eventstore.NoStream, long)
	for n := range 3 { // each less than one append may hold, two of them more
		data := []byte(`{"note":"` + strings.Repeat("x", 700<<10) + `"}`)
		put(t, source, "customer-1", eventstore.Revision(n-1), []eventstore.Event{{ID: uuid.New(), Type: "test.large.v1", Data: data, Metadata: []byte(`{"a":1}`)}})
	}
	return source, target
}

func put(t *testing.T, c *eventstore.Client, stream eventstore.Stream, at eventstore.Revision, events []eventstore.Event) {
	t.Helper()
	if _, err := c.Append(t.Context(), stream, at, events); err != nil {
		t.Fatal(err)
	}
}

func silent(eventstore.Copied) {}

// compare wants both stores to hold the same want events.
func compare(t *testing.T, source, target *eventstore.Client, upTo eventstore.Position, want int64) {
	t.Helper()
	if n, err := eventstore.Compare(t.Context(), source, target, upTo, silent); err != nil || n != want {
		t.Fatalf("comparing: %d events, %v; want %d", n, err, want)
	}
}

func TestACopyHoldsEveryDomainEventInItsOrder(t *testing.T) {
	source, target := twoStores(t, 20)
	const want = 3*20 + 700 + 3
	done, err := eventstore.Copy(t.Context(), source, target, silent)
	if err != nil || done.Events != want {
		t.Fatalf("%+v, %v; want %d events", done, err, want)
	}
	compare(t, source, target, done.Position, want)
	for _, err := range target.ReadStream(t.Context(), "snapshot-order-1", 0) {
		if !errors.Is(err, eventstore.ErrNoStream) {
			t.Errorf("a snapshot was copied: %v", err)
		}
	}
	if again, err := eventstore.Copy(t.Context(), source, target, silent); err != nil || again.Events != 0 || again.Position != done.Position {
		t.Errorf("a second copy: %+v, %v", again, err)
	}
	put(t, source, "order-1", 19, event(20))
	if more, err := eventstore.Copy(t.Context(), source, target, silent); err != nil || more.Events != 1 {
		t.Errorf("a copy of a source that grew: %+v, %v", more, err)
	}
}

func TestAnInterruptedCopyGoesOn(t *testing.T) {
	source, target := twoStores(t, 10)
	const want = 3*10 + 700 + 3
	total := int64(0)
	for stopAfter := 1; ; stopAfter++ {
		ctx, cancel := context.WithCancel(t.Context())
		appends := 0
		done, err := eventstore.Copy(ctx, source, target, func(eventstore.Copied) {
			if appends++; appends == stopAfter {
				cancel()
			}
		})
		cancel()
		total += done.Events
		if err == nil {
			compare(t, source, target, done.Position, want)
			break
		}
		if fault.KindOf(err) != fault.Timeout {
			t.Fatalf("interrupted: %v", err)
		}
	}
	if total != want {
		t.Errorf("%d events copied in all, want %d", total, want)
	}
}

func TestACopyRefusesWhatIsNoPlaceForIt(t *testing.T) {
	source, target := twoStores(t, 2)
	if _, err := eventstore.Copy(t.Context(), source, source, silent); !errors.Is(err, eventstore.ErrSameStore) {
		t.Errorf("into itself: %v", err)
	}
	put(t, target, "order-foreign", eventstore.NoStream, event(1))
	if _, err := eventstore.Copy(t.Context(), source, target, silent); !errors.Is(err, eventstore.ErrNotACopy) {
		t.Errorf("into a store with events of its own: %v", err)
	}
	// The last event is the source's, but one before it isn't.
	other := dial(t, servertest.Start(t), eventstore.Config{})
	put(t, other, "order-3", eventstore.NoStream, event(7))
	for r, err := range source.ReadStream(t.Context(), "order-1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		put(t, other, "order-1", r.Revision-1, []eventstore.Event{{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: r.Metadata}})
		break
	}
	if _, err := eventstore.Copy(t.Context(), source, other, silent); !errors.Is(err, eventstore.ErrNotACopy) {
		t.Errorf("into a store whose history differs: %v", err)
	}
}

func TestACopyThatDiffersIsFound(t *testing.T) {
	source, target := twoStores(t, 3)
	done, err := eventstore.Copy(t.Context(), source, target, silent)
	if err != nil {
		t.Fatal(err)
	}
	put(t, target, "order-1", 2, event(3))
	if _, err := eventstore.Compare(t.Context(), source, target, done.Position, silent); !errors.Is(err, eventstore.ErrNotACopy) {
		t.Errorf("an event more in the target: %v", err)
	}
	put(t, source, "order-1", 2, event(3)) // the same place, another id
	if _, err := eventstore.Compare(t.Context(), source, target, done.Position+100, silent); !errors.Is(err, eventstore.ErrNotACopy) {
		t.Errorf("another event in the target: %v", err)
	}
	if _, err := eventstore.Compare(t.Context(), source, dial(t, servertest.Start(t), eventstore.Config{}), done.Position, silent); !errors.Is(err, eventstore.ErrNotACopy) {
		t.Errorf("nothing in the target: %v", err)
	}
}
