package commands

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

// describe gives a stream other metadata, as an operator may.
func (h *Handlers) describe(t testing.TB, stream eventstore.Stream, metadata string) {
	t.Helper()
	at := must1(h.snapshots.end(t.Context(), "$$"+stream))(t).Revision
	_, err := h.store.Append(t.Context(), "$$"+stream, at, []eventstore.Event{{ID: uuid.New(), Type: "$metadata", Data: []byte(metadata), Metadata: []byte("{}")}})
	must(t, err)
}

// awaitHidden waits until a stream shows nothing any more: $maxAge is whole seconds of the store's clock.
func (h *Handlers) awaitHidden(t testing.TB, stream eventstore.Stream) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if must1(h.snapshots.end(t.Context(), stream))(t).Revision == eventstore.NoStream {
			return
		}
		<-tick.C
	}
	t.Fatalf("%s still shows something", stream)
}

// TestAHiddenSnapshotHarmsNothingAndTheNextOneHeals: whatever an operator does to the stream of a snapshot, short of a tombstone, commands go on, and
// the snapshot that is due next is written and read.
func TestAHiddenSnapshotHarmsNothingAndTheNextOneHeals(t *testing.T) {
	for name, metadata := range map[string]string{
		"deleted":        `{"$tb":9223372036854775807}`,
		"cut off":        `{"$tb":1000,"$maxCount":1}`,
		"old":            `{"$maxAge":1,"$maxCount":1}`,
		"no JSON":        `hello`,
		"no JSON object": `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			a := h.often(t)
			stream := snapshotOf(eventstore.Inventory.Stream("S"))
			first := a.stockUp(t, "S", 0, 40)
			a.writeDue(t)
			if b := h.often(t); b.onHand(t, "S") != 40*41/2 || b.known(t, "S").heard.covered == 0 {
				t.Fatal("no snapshot to hide")
			}
			a.describe(t, stream, metadata)
			if metadata[0] == '{' {
				a.awaitHidden(t, stream)
				b := h.often(t)
				if got := b.onHand(t, "S"); got != 40*41/2 || b.known(t, "S").heard.covered > 0 {
					t.Errorf("%d on hand while the snapshot is hidden, %d events covered", got, b.known(t, "S").heard.covered)
				}
				if again := b.stockUp(t, "S", 3, 4)[0]; again.Revision != first[3].Revision || !again.Replayed {
					t.Errorf("a repeat was answered with %+v", again)
				}
			}
			a.stockUp(t, "S", 40, 80)
			a.writeDue(t)
			b := h.often(t)
			if got := b.onHand(t, "S"); got != 80*81/2 || b.known(t, "S").heard.covered <= 40 {
				t.Errorf("%d on hand, %d events covered by the next snapshot", got, b.known(t, "S").heard.covered)
			}
			if told := string(must1(a.snapshots.end(t.Context(), "$$"+stream))(t).Data); told != `{"$maxCount":1}` {
				t.Errorf("metadata afterwards: %s", told)
			}
		})
	}
}
