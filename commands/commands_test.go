package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is one store and one vault; processes are Handlers that share them as two processes would.
type house struct {
	store, database string
}

func newHouse(t testing.TB) house {
	t.Helper()
	return house{store: servertest.Start(t), database: testenv.PostgresFrom(t, "vault", func(url string) error {
		return postgres.Migrate(context.Background(), url, vault.Schema, vault.Migrations())
	})}
}

// process returns Handlers with connections and caches of their own.
func (h house) process(t testing.TB, ports Ports) *Handlers {
	t.Helper()
	store, err := eventstore.Open(h.store, eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	pool, err := postgres.Open(t.Context(), h.database, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	v, err := vault.New(pool, vault.Config{KEK: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	handlers, err := New(store, v, ports, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return handlers
}

// A tally is the smallest aggregate: it sums what was received, and refuses to go beyond a limit.
var tallies = aggregate[int64, inventory.Event]{category: eventstore.Inventory, evolve: func(s int64, e inventory.Event) int64 {
	if r, ok := e.(inventory.Received); ok {
		s += r.Quantity
	}
	return s
}}

var errFull = fault.New(fault.Conflict, "FULL", "it is full")

func (h *Handlers) receive(ctx context.Context, key, sku string, n, limit int64) (Receipt, int64, error) {
	type input struct{ N int64 }
	r, err := h.begin(ctx, auth.Internal("test"), "Receive", Meta{IdempotencyKey: key}, "", input{n})
	if err != nil {
		return Receipt{}, 0, err
	}
	return execute(ctx, h, tallies, r, sku, func(s int64, _ eventstore.Revision) ([]inventory.Event, error) {
		if s+n > limit {
			return nil, errFull
		}
		return []inventory.Event{inventory.Received{SKU: inventory.SKU(sku), Quantity: n}}, nil
	})
}

func TestOneKeyIsOneEffectAndOneAnswer(t *testing.T) {
	h := newHouse(t)
	a, b := h.process(t, Ports{}), h.process(t, Ports{})
	var mu sync.Mutex
	answers := map[Receipt]int{}
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			p := a
			if i%2 == 1 {
				p = b
			}
			got, _, err := p.receive(t.Context(), "k1", "x", 5, 100)
			if err != nil {
				t.Error(err)
				return
			}
			got.Replayed = false
			mu.Lock()
			answers[got]++
			mu.Unlock()
		})
	}
	group.Wait()
	if len(answers) != 1 {
		t.Errorf("%d different answers: %v", len(answers), answers)
	}
	c := h.process(t, Ports{}) // after a restart
	got, state, err := c.receive(t.Context(), "k1", "x", 5, 100)
	if err != nil || !got.Replayed || state != 5 {
		t.Errorf("%+v, state %d, %v", got, state, err)
	}
	if got, _, err := c.receive(t.Context(), "k1", "x", 6, 100); !errors.Is(err, ErrKeyReused) || got != (Receipt{}) {
		t.Errorf("other input under the key: %+v, %v", got, err)
	}
}

func TestARaceNeverPassesTheLimitAndEveryReceiptIsItsOwn(t *testing.T) {
	h := newHouse(t)
	processes := []*Handlers{h.process(t, Ports{}), h.process(t, Ports{})}
	var mu sync.Mutex
	receipts := map[string]Receipt{}
	var group sync.WaitGroup
	full := 0
	for i := range 150 {
		group.Go(func() {
			key := fmt.Sprint("k", i)
			got, _, err := processes[i%2].receive(t.Context(), key, "hot", 1, 100)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errFull):
				full++
			case err != nil:
				t.Error(err)
			default:
				receipts[key] = got
			}
		})
	}
	group.Wait()
	if len(receipts) != 100 || full != 50 {
		t.Fatalf("%d accepted, %d refused", len(receipts), full)
	}
	revisions := map[eventstore.Revision]bool{}
	again := h.process(t, Ports{})
	for key, first := range receipts {
		revisions[first.Revision] = true
		repeat, _, err := again.receive(t.Context(), key, "hot", 1, 100)
		repeat.Replayed = false
		if err != nil || repeat != first {
			t.Errorf("%s: first %+v, again %+v, %v", key, first, repeat, err)
		}
	}
	if len(revisions) != 100 {
		t.Errorf("100 receipts name %d revisions", len(revisions))
	}
}

func TestARefusalFromAStaleCacheIsDecidedAgain(t *testing.T) {
	h := newHouse(t)
	a, b := h.process(t, Ports{}), h.process(t, Ports{})
	for i, p := range []*Handlers{a, b} {
		if _, _, err := p.receive(t.Context(), fmt.Sprint("warm", i), "y", 1, 100); err != nil {
			t.Fatal(err)
		}
	}
	// a's cache says 1; the stream says 2. A limit of 2 refuses one more, whoever is asked, and by the newest state.
	_, state, err := a.receive(t.Context(), "more", "y", 1, 2)
	if !errors.Is(err, errFull) {
		t.Fatalf("state %d, %v", state, err)
	}
}

func TestAWaiterWhoseTimeIsUpLeavesTheLaneUsable(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	stream := eventstore.Inventory.Stream("z")
	blocker := &waiter{lead: make(chan struct{}, 1)}
	if !p.lanes.enter(stream, blocker) {
		t.Fatal("the lane was taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := p.receive(ctx, "late", "z", 1, 100)
	if fault.KindOf(err) != fault.Timeout {
		t.Fatalf("waited: %v", err)
	}
	p.lanes.handOver(stream)
	if _, _, err := p.receive(t.Context(), "next", "z", 1, 100); err != nil {
		t.Fatal(err)
	}
	if len(p.lanes.open) != 0 {
		t.Errorf("%d lanes left open", len(p.lanes.open))
	}
}

func TestBadKeysAndForeignTimesAreRefused(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	for _, key := range []string{"a b", "a\nb", "\x00", string([]byte{0xff}), string(bytes.Repeat([]byte("k"), 256))} {
		if _, err := p.begin(t.Context(), auth.Internal("x"), "N", Meta{IdempotencyKey: key}, "", nil); !errors.Is(err, ErrKeyMalformed) {
			t.Errorf("%q: %v", key, err)
		}
	}
	customer := auth.Principal{Kind: auth.Customer, ID: "c", Roles: []auth.Role{auth.RoleCustomer}}
	if _, err := p.begin(t.Context(), customer, "N", Meta{At: time.Now()}, "", nil); !errors.Is(err, errAtDenied) {
		t.Errorf("a customer says when: %v", err)
	}
}

func TestAnEventOfAnotherCategoryIsNamedAndNotFolded(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	meta, err := eventstore.Metadata{Schema: eventstore.MetadataSchema}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.store.Append(t.Context(), eventstore.Inventory.Stream("odd"), eventstore.NoStream, []eventstore.Event{
		{ID: uuid.New(), Type: "cart.item-removed.v1", Data: []byte(`{"cart":"c","customer":"c","sku":"s"}`), Metadata: meta}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.receive(t.Context(), "k", "odd", 1, 10); fault.CodeOf(err) != "FOREIGN_EVENT" {
		t.Errorf("folded: %v", err)
	}
}

func TestWhoLooksSeesWhatItsOwnProcessWrote(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	for n := range int64(3) {
		seen, rev, err := load(t.Context(), p, tallies, "seen")
		if err != nil || seen != n || rev != eventstore.Revision(n-1) {
			t.Fatalf("after %d: %d at %d, %v", n, seen, rev, err)
		}
		if _, _, err := p.receive(t.Context(), fmt.Sprint(n), "seen", 1, 10); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheEnvelopeTakesNoFreeTextFromStrangers(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	customer := auth.Principal{Kind: auth.Customer, ID: "c", Roles: []auth.Role{auth.RoleCustomer}}
	r, err := p.begin(t.Context(), customer, "N", Meta{Channel: "import"}, "", nil)
	if err != nil || r.Channel != "web" {
		t.Errorf("a customer's channel: %q, %v", r.Channel, err)
	}
	for _, m := range []Meta{{Reason: string(bytes.Repeat([]byte("x"), 501))}, {Correlation: "a\nb"}, {Causation: "\xff"}} {
		if _, err := p.begin(t.Context(), customer, "N", m, "", nil); !errors.Is(err, ErrMeta) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}
