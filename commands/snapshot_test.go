package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// often returns a process that keeps a snapshot every 20 events, and looks for one after 2.
func (h house) often(t testing.TB) *Handlers {
	p := h.process(t, Ports{})
	p.snapshots = newSnapshots(p.store, p.log, 20)
	return p
}

// write writes what is due, as Run would.
func (h *Handlers) writeDue(t testing.TB) {
	t.Helper()
	for len(h.snapshots.queue) > 0 {
		must(t, h.snapshots.write(t.Context(), <-h.snapshots.queue))
	}
}

func (h *Handlers) stockUp(t testing.TB, sku string, from, to int) (receipts []Receipt) {
	t.Helper()
	for i := from; i < to; i++ {
		got, err := h.ReceiveStock(t.Context(), admin, ReceiveStock{Meta: Meta{IdempotencyKey: fmt.Sprint("k", i)}, SKU: inventory.SKU(sku), Quantity: int64(i + 1)})
		must(t, err)
		receipts = append(receipts, got.Receipt)
	}
	return receipts
}

// known is what the process has in its cache of a SKU's stream.
func (h *Handlers) known(t testing.TB, sku string) *entry[inventory.State] {
	t.Helper()
	cached, ok := h.cache.get(eventstore.Inventory.Stream(sku))
	if !ok {
		t.Fatalf("nothing is known of %s", sku)
	}
	return cached.(*entry[inventory.State])
}

func (h *Handlers) onHand(t testing.TB, sku string) int64 {
	t.Helper()
	s, _, err := look(t.Context(), h, stock, request{}, sku, closeLook)
	must(t, err)
	return s.OnHand
}

func TestALongStreamIsLoadedFromItsSnapshotAndAnswersRepeatsAllTheSame(t *testing.T) {
	h := newHouse(t)
	a := h.often(t)
	first := a.stockUp(t, "S", 0, 70)
	a.writeDue(t)
	first = append(first, a.stockUp(t, "S", 70, 77)...) // not due yet: the tail
	b := h.often(t)
	if got := b.onHand(t, "S"); got != 77*78/2 {
		t.Fatalf("%d on hand", got)
	}
	if e := b.known(t, "S"); e.heard.covered == 0 || e.heard.covered > 70 || len(e.commands) != 77-e.heard.covered || e.revision != 76 {
		t.Fatalf("%d events of %d came from a snapshot, %d commands are known", e.heard.covered, e.revision+1, len(e.commands))
	}
	for i, want := range first {
		got := b.stockUp(t, "S", i, i+1)[0]
		want.Replayed = true
		if got != want {
			t.Errorf("command %d: first %+v, again %+v", i, want, got)
		}
	}
	_, err := b.ReceiveStock(t.Context(), admin, ReceiveStock{Meta: Meta{IdempotencyKey: "k3"}, SKU: "S", Quantity: 99})
	refusal(t, err, ErrKeyReused)
	b.stockUp(t, "S", 77, 78)
	if got := a.onHand(t, "S"); got != 78*79/2 {
		t.Errorf("%d on hand after what both appended", got)
	}
}

// TestACommandBehindASnapshotJumpIsNotDoubled: a process whose cache is far behind catches up by a snapshot, after it lost the race; the
// command that it is about to repeat stands in what the snapshot covers.
func TestACommandBehindASnapshotJumpIsNotDoubled(t *testing.T) {
	h := newHouse(t)
	a, b := h.often(t), h.often(t)
	a.stockUp(t, "S", 0, 10)
	first := b.stockUp(t, "S", 10, 60)
	b.writeDue(t)
	got := a.stockUp(t, "S", 12, 13)[0]
	if e := a.known(t, "S"); e.heard.covered <= 12 {
		t.Fatalf("the process did not jump: %d covered", e.heard.covered)
	}
	want := first[2]
	want.Replayed = true
	if got != want {
		t.Errorf("first %+v, again %+v", want, got)
	}
}

// TestAMarkDecidesNothingByItself forges a snapshot in which every event has the mark of a command that was never here.
func TestAMarkDecidesNothingByItself(t *testing.T) {
	h := newHouse(t)
	a := h.often(t)
	a.stockUp(t, "S", 0, 30)
	e := a.known(t, "S")
	a.writeDue(t)
	b := h.often(t)
	id := eventstore.CommandID(string(admin.Kind), admin.ID, "ReceiveStock", "k30")
	marks := bytes.Repeat([]byte{id[0], id[1], id[2], id[3]}, 30)
	b.plant(t, "S", picture{b.headOf(e, "S"), marks, must1(e.state.Snapshot())(t)})
	if got := b.stockUp(t, "S", 30, 31)[0]; got.Replayed || got.Revision != 30 {
		t.Errorf("a new command was taken for an old one: %+v", got)
	}
	if e := b.known(t, "S"); e.heard.covered != 30 {
		t.Fatalf("the snapshot was not read: %d", e.heard.covered)
	}
}

func must1[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T { must(t, err); return v }
}

func (h *Handlers) headOf(e *entry[inventory.State], sku string) snapshotHead {
	return snapshotHead{Stream: eventstore.Inventory.Stream(sku), Schema: inventory.SnapshotSchema, Revision: e.revision, Event: e.last}
}

// plant appends a snapshot as it is given.
func (h *Handlers) plant(t testing.TB, sku string, p picture) {
	t.Helper()
	h.append(t, sku, must1(p.encode())(t)...)
}

func (h *Handlers) append(t testing.TB, sku string, events ...eventstore.Event) {
	t.Helper()
	at, target := eventstore.NoStream, snapshotOf(eventstore.Inventory.Stream(sku))
	for rec, err := range h.store.ReadStreamBackwards(t.Context(), target, 1) {
		if !errors.Is(err, eventstore.ErrNoStream) {
			must(t, err)
			at = rec.Revision
		}
	}
	_, err := h.store.Append(t.Context(), target, at, events)
	must(t, err)
}

func TestWhatIsNoSnapshotOfTheStreamIsPassedOver(t *testing.T) {
	h := newHouse(t)
	a := h.often(t)
	a.stockUp(t, "S", 0, 40)
	a.stockUp(t, "OTHER", 0, 40)
	a.snapshots.queue = make(chan pending, 1) // none is written
	e := a.known(t, "S")
	whole := picture{a.headOf(e, "S"), must1(marksOf(e))(t), must1(e.state.Snapshot())(t)}
	longer := inventory.Evolve(e.state, inventory.Received{SKU: "S", Quantity: 5})
	big := whole
	big.state = append(bytes.Repeat([]byte(" "), 2*partBytes), whole.state...)
	for name, plant := range map[string]func(p *Handlers){
		"none at all": func(*Handlers) {},
		"newer than the stream": func(p *Handlers) {
			later := whole
			later.Revision, later.marks, later.state = 40, append(slices.Clone(whole.marks), 1, 2, 3, 4), must1(longer.Snapshot())(t)
			p.plant(t, "S", later)
		},
		"of another history": func(p *Handlers) {
			other := whole
			other.Event, other.state = uuid.New(), must1(longer.Snapshot())(t)
			p.plant(t, "S", other)
		},
		"of another schema": func(p *Handlers) {
			other := whole
			other.Schema, other.state = 2, must1(longer.Snapshot())(t)
			p.plant(t, "S", other)
		},
		"of another stream": func(p *Handlers) {
			other := whole
			other.Stream, other.state = eventstore.Inventory.Stream("OTHER"), must1(longer.Snapshot())(t)
			p.plant(t, "S", other)
		},
		"a state that can't be read": func(p *Handlers) {
			other := whole
			other.state = []byte(`{"onHand":`)
			p.plant(t, "S", other)
		},
		"a flipped bit": func(p *Handlers) {
			ev := must1(whole.encode())(t)[0]
			var part snapshotPart
			must(t, json.Unmarshal(ev.Data, &part))
			part.Body[2] ^= 1 // a mark: nothing but the sum would notice
			ev.Data = must1(json.Marshal(part))(t)
			p.append(t, "S", ev)
		},
		"marks of fewer events": func(p *Handlers) {
			other := whole
			other.marks = whole.marks[4:]
			p.plant(t, "S", other)
		},
		"another event": func(p *Handlers) {
			p.append(t, "S", eventstore.Event{ID: uuid.New(), Type: "somebody.else.v1", Data: []byte(`{}`), Metadata: []byte(`{}`)})
		},
		"a writer that died half way": func(p *Handlers) {
			parts := must1(big.encode())(t)
			p.append(t, "S", parts[0])
			p.append(t, "S", parts[1])
		},
		"the rest of a writer that died": func(p *Handlers) {
			another := big
			another.state = append([]byte(" "), big.state...)
			p.append(t, "S", must1(another.encode())(t)[2])
		},
	} {
		p := h.often(t)
		plant(p)
		if got := p.onHand(t, "S"); got != 40*41/2 {
			t.Errorf("%s: %d on hand", name, got)
		}
		if e := p.known(t, "S"); e.heard.covered != 0 || e.revision != 39 {
			t.Errorf("%s: %d covered, revision %d", name, e.heard.covered, e.revision)
		}
	}
	p := h.often(t)
	p.plantParts(t, "S", big)
	if p.onHand(t, "S"); p.known(t, "S").heard.covered != 40 {
		t.Error("the good one in three parts, behind all those, was not read")
	}
}

func marksOf(e *entry[inventory.State]) ([]byte, error) {
	marks, ok := e.heard.bytes(e.revision)
	if !ok {
		return nil, errors.New("marks are missing")
	}
	return marks, nil
}

// plantParts appends a part at a time: together they are too large.
func (h *Handlers) plantParts(t testing.TB, sku string, p picture) {
	for _, part := range must1(p.encode())(t) {
		h.append(t, sku, part)
	}
}

func TestTheStoreKeepsTheNewestSnapshotOnlyAndOneWriterIsEnough(t *testing.T) {
	h := newHouse(t)
	a, b := h.often(t), h.often(t)
	a.stockUp(t, "S", 0, 30)
	b.stockUp(t, "S", 0, 30) // repeats: they append nothing
	b.stockUp(t, "S", 30, 45)
	a.writeDue(t)
	b.writeDue(t) // a's is new enough
	count := func() (n int, last eventstore.Revision) {
		for rec, err := range a.store.ReadStream(t.Context(), snapshotOf(eventstore.Inventory.Stream("S")), 0) {
			must(t, err)
			n, last = n+1, rec.Revision
		}
		return n, last
	}
	if n, last := count(); n != 1 || last != 0 {
		t.Errorf("after the first: %d events to revision %d", n, last)
	}
	b.stockUp(t, "S", 45, 90)
	b.writeDue(t)
	if n, last := count(); n != 1 || last == 0 {
		t.Errorf("after more: %d events to revision %d", n, last)
	}
}

func TestAFullQueueCostsNothingAndTheNextAppendTriesAgain(t *testing.T) {
	a := newHouse(t).often(t)
	a.snapshots.queue = make(chan pending, 1)
	a.stockUp(t, "A", 0, 20)
	a.stockUp(t, "B", 0, 25)
	if len(a.snapshots.queue) != 1 || a.known(t, "B").saved != eventstore.NoStream {
		t.Fatalf("%d queued, B saved to %d", len(a.snapshots.queue), a.known(t, "B").saved)
	}
	a.writeDue(t)
	a.stockUp(t, "B", 25, 26)
	if len(a.snapshots.queue) != 1 || a.known(t, "B").saved != 25 {
		t.Errorf("%d queued, B saved to %d", len(a.snapshots.queue), a.known(t, "B").saved)
	}
}

func TestRunWritesWhatIsDueAndEndsWithItsContext(t *testing.T) {
	h := newHouse(t)
	a := h.often(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	a.stockUp(t, "S", 0, 30)
	ticker := time.NewTicker(5 * time.Millisecond) // subscriptions see domain events only, and this is none
	defer ticker.Stop()
	for {
		found, err := a.snapshots.newest(ctx, eventstore.Inventory.Stream("S"))
		must(t, err)
		if len(found) > 0 {
			break
		}
		<-ticker.C
	}
	cancel()
	must(t, <-ended)
	if b := h.often(t); b.onHand(t, "S") != 30*31/2 || b.known(t, "S").heard.covered != 20 {
		t.Errorf("%d covered", b.known(t, "S").heard.covered)
	}
}

func TestASnapshotOfACustomerHoldsNothingInTheClear(t *testing.T) {
	w := newWorld(t)
	a := w.start(t)
	a.snapshots = newSnapshots(a.store, a.log, 20)
	a.stocked(t)
	for i := range 30 {
		name := fmt.Sprint("Augusta Ada ", i)
		_, err := a.UpdateProfile(t.Context(), buyer("ada"), UpdateProfile{Customer: "ada", Name: &name})
		must(t, err)
	}
	_, err := a.SetAddress(t.Context(), buyer("ada"), SetAddress{Customer: "ada", Label: "home", Address: *home})
	must(t, err)
	a.writeDue(t)
	parts, err := a.snapshots.newest(t.Context(), eventstore.Customer.Stream("ada"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	p, err := decodeSnapshot(eventstore.Customer.Stream("ada"), customerSnapshots.schema, parts)
	must(t, err)
	for _, secret := range []string{"Ada", "Lovelace", "example.org", "234567890", "Sentinel"} {
		if bytes.Contains(p.state, []byte(secret)) || bytes.Contains(parts[0].Data, []byte(secret)) {
			t.Errorf("the snapshot says %q", secret)
		}
	}
	b := w.start(t)
	b.snapshots = newSnapshots(b.store, b.log, 20)
	s, _, err := look(t.Context(), b.Handlers, customers, request{}, "ada", quickLook)
	must(t, err)
	mine, _, err := look(t.Context(), a.Handlers, customers, request{}, "ada", closeLook)
	must(t, err)
	equal(t, s, mine)
}

// TestAHeadThatIsGoneIsTold: a command that may stand in a part of the stream that nobody can read is not carried out.
func TestAHeadThatIsGoneIsTold(t *testing.T) {
	h := newHouse(t)
	a := h.often(t)
	a.stockUp(t, "S", 0, 30)
	a.writeDue(t)
	b := h.often(t)
	b.onHand(t, "S")
	stream := eventstore.Inventory.Stream("S")
	_, err := a.store.Append(t.Context(), "$$"+stream, eventstore.NoStream, []eventstore.Event{{ID: uuid.New(), Type: "$metadata", Data: []byte(`{"$tb":25}`), Metadata: []byte("{}")}})
	must(t, err)
	_, err = b.ReceiveStock(t.Context(), admin, ReceiveStock{Meta: Meta{IdempotencyKey: "k3"}, SKU: "S", Quantity: 4})
	if fault.CodeOf(err) != "STREAM_HEAD_GONE" {
		t.Errorf("%v", err)
	}
}

func TestOtherStreamsHaveNoSnapshots(t *testing.T) {
	if orders.snapshots != nil || payments.snapshots != nil || shipments.snapshots != nil || carts.snapshots != nil {
		t.Error("a stream that ends one day has snapshots")
	}
	if eventstore.Snapshot.Registered() || eventstore.IsDomain(snapshotOf(eventstore.Inventory.Stream("S")), snapshotType) {
		t.Error("a snapshot is a domain event")
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	stream := eventstore.Inventory.Stream("S")
	events, err := picture{snapshotHead{Stream: stream, Schema: 1, Revision: 1, Event: uuid.New()}, []byte("12345678"), []byte("{}")}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(events[0].Data, []byte("{}"))
	f.Add([]byte(`{"stream":"inventory-S","schema":1,"parts":2,"part":2}`), []byte(`{"parts":2,"part":1}`))
	f.Fuzz(func(t *testing.T, newer, older []byte) {
		p, err := decodeSnapshot(stream, 1, []eventstore.Recorded{{Type: snapshotType, Data: newer}, {Type: snapshotType, Data: older}})
		if err != nil && !errors.Is(err, errPassedOver) {
			t.Error(err)
		}
		if err == nil && len(p.marks) != 4*int(p.Revision+1) {
			t.Errorf("%d marks of %d events", len(p.marks), p.Revision+1)
		}
	})
}
