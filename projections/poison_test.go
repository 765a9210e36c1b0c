package projections_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/projections"
)

type unitsRow struct {
	projections.Head
	Received int64  `db:"received"`
	Seen     []int  `db:"seen"` // quantities in order: a fold out of order shows
	Note     string `db:"note"`
}

const unitsSQL = `CREATE TABLE units (id text PRIMARY KEY, position bigint NOT NULL, events bigint NOT NULL, received bigint NOT NULL,
	seen jsonb, note text NOT NULL CHECK (note <> 'refused'));`

// units folds received stock; spoil may fail on the way, after the row was half changed.
func units(t testing.TB, spoil func(inventory.Received, *unitsRow) error) projections.Projection {
	t.Helper()
	p, err := projections.Define(projections.Spec[unitsRow]{
		Name: "units", Version: 1, SQL: unitsSQL, Categories: []eventstore.Category{eventstore.Inventory}, Ignore: []string{inventory.TypeThresholdSet},
		Keys: func(e projections.Event) []string {
			if b, ok := e.Body.(inventory.Received); ok {
				return []string{string(b.SKU)}
			}
			return nil
		},
		Apply: func(r *unitsRow, e projections.Event) error {
			b := e.Body.(inventory.Received)
			r.Received += b.Quantity
			if len(r.Seen) > 0 {
				r.Seen[0] += 0 // in place on purpose: a spoilt row must not survive
			}
			r.Seen = append(r.Seen, int(b.Quantity))
			return spoil(b, r)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func received(t testing.TB, h *history, sku string, quantities ...int64) {
	t.Helper()
	for _, n := range quantities {
		h.add(t, eventstore.Inventory.Stream(sku), inventory.Received{SKU: inventory.SKU(sku), Quantity: n})
	}
}

func sound(inventory.Received, *unitsRow) error { return nil }

// poisoned prepares a database with units alone.
func poisoned(t testing.TB) *slate {
	t.Helper()
	pool, list := open(t, testenv.Postgres(t)), []projections.Projection{units(t, sound)}
	if err := projections.Prepare(context.Background(), pool, list); err != nil {
		t.Fatal(err)
	}
	return slateOf(t, pool, list)
}

func runTo(t testing.TB, s *slate, h *history, size int, p projections.Projection) *projections.Projector {
	t.Helper()
	worker := projectorOn(t, s.pool, h, projections.Config{Projections: []projections.Projection{p}, History: h.read(size)})
	if err := worker.RunToEnd(context.Background()); err != nil {
		t.Fatal(err)
	}
	return worker
}

func TestAPoisonEventParksItsRowAloneAndReplayMakesItWhole(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		spoil func(inventory.Received, *unitsRow) error
		code  string
	}{
		"panic": {func(b inventory.Received, _ *unitsRow) error {
			if b.SKU == "bad" && b.Quantity == 2 {
				panic("a fold with a defect")
			}
			return nil
		}, "FOLD_PANICKED"},
		"refused by the fold": {func(b inventory.Received, _ *unitsRow) error {
			if b.SKU == "bad" && b.Quantity == 2 {
				return projections.ErrUnhandled
			}
			return nil
		}, "EVENT_UNHANDLED"},
		"refused by a constraint": {func(b inventory.Received, r *unitsRow) error {
			if b.SKU == "bad" && b.Quantity == 2 {
				r.Note = "refused"
			}
			return nil
		}, "ROW_REFUSED"},
		"a character that Postgres can't hold": {func(b inventory.Received, r *unitsRow) error {
			if b.SKU == "bad" && b.Quantity == 2 {
				r.Note = "a\x00b"
			}
			return nil
		}, "ROW_REFUSED"},
	}
	h := &history{}
	received(t, h, "good", 1, 2)
	received(t, h, "bad", 1)
	received(t, h, "bad", 2) // the poison
	received(t, h, "good", 3)
	received(t, h, "bad", 3, 4)
	received(t, h, "other", 5)
	s := poisoned(t)
	runTo(t, s, h, 100, units(t, sound))
	want := tables(t, s.owner, []projections.Projection{units(t, sound)})

	for name, fault := range faults {
		for _, size := range []int{1, 2, 100} {
			t.Run(name, func(t *testing.T) {
				s.wipe(t)
				spoilt := units(t, fault.spoil)
				p := runTo(t, s, h, size, spoilt)
				got := tables(t, s.owner, []projections.Projection{spoilt})
				if !strings.Contains(got, `"received": 6`) || !strings.Contains(got, `"received": 5`) || !strings.Contains(got, `"received": 1`) {
					t.Fatalf("others did not go on, or the bad row is not as before the poison:\n%s", got)
				}
				checkParked(t, p, fault.code)
				if _, err := p.Replay(context.Background(), "units", "bad"); !errors.Is(err, projections.ErrStillFails) {
					t.Fatalf("replay without a fix: %v", err)
				}
				fixed := runTo(t, s, h, size, units(t, sound))
				if n, err := fixed.Replay(context.Background(), "units", "bad"); err != nil || n != 3 {
					t.Fatalf("%d events replayed, %v", n, err)
				}
				if diff := cmp.Diff(want, tables(t, s.owner, []projections.Projection{spoilt})); diff != "" {
					t.Fatalf("not as if it had never failed:\n%s", diff)
				}
				// The projector that parked it learns of the replay and goes on with the row.
				more := &history{events: h.events, revisions: h.revisions}
				received(t, more, "bad", 7)
				if err := fixed.Apply(context.Background(), more.batch(h.head(), more.head(), fixed.Categories())); err == nil {
					t.Fatal("a replay moved the generation unseen")
				}
				runTo(t, s, more, size, units(t, sound))
				if got := tables(t, s.owner, []projections.Projection{spoilt}); !strings.Contains(got, `"received": 17`) {
					t.Fatalf("the replayed row does not go on:\n%s", got)
				}
				more.revisions["inventory-bad"]--
			})
		}
	}
}

func checkParked(t *testing.T, p *projections.Projector, code string) {
	t.Helper()
	parked, err := p.Parked(context.Background())
	if err != nil || len(parked) != 1 {
		t.Fatalf("%v, %v", parked, err)
	}
	got := parked[0]
	if got.Key != "bad" || got.Scope != "row" || got.Code != code || got.Attempts != 1 || got.Waiting != 2 || got.Type != inventory.TypeReceived {
		t.Fatalf("%+v", got)
	}
	if code == "FOLD_PANICKED" && !strings.Contains(got.Stack, "poison_test.go") {
		t.Fatalf("no stack: %q", got.Stack)
	}
}

func TestAnUnknownEventParksItsStreamAndIsNeverSkipped(t *testing.T) {
	t.Parallel()
	h := &history{}
	received(t, h, "a", 1)
	h.raw(t, "inventory-a", "inventory.unheard-of.v9", []byte(`{"sku":"a"}`))
	received(t, h, "a", 2)
	received(t, h, "b", 3)
	h.add(t, eventstore.Product.Stream("p"), product.Created{SKU: "p", Name: "p", Price: money.Of(1, "GBP")}) // not ours
	h.add(t, eventstore.Inventory.Stream("c"), inventory.Shipped{SKU: "c", Quantity: 1})                      // ours, and no key for it
	s := poisoned(t)
	p := runTo(t, s, h, 2, units(t, sound))
	parked, err := p.Parked(context.Background())
	if err != nil || len(parked) != 2 {
		t.Fatalf("%+v, %v", parked, err)
	}
	if a := parked[0]; a.Scope != "stream" || a.Key != "inventory-a" || a.Code != "UNKNOWN_EVENT" || a.Waiting != 1 {
		t.Fatalf("%+v", a)
	}
	if c := parked[1]; c.Key != "inventory-c" || c.Code != "EVENT_WITHOUT_KEY" {
		t.Fatalf("%+v", c)
	}
	got := tables(t, s.owner, []projections.Projection{units(t, sound)})
	if !strings.Contains(got, `"received": 1`) || !strings.Contains(got, `"received": 3`) || strings.Count(got, "\n") != 3 {
		t.Fatalf("got\n%s", got)
	}
	if _, err := p.Replay(context.Background(), "units", "inventory-a"); !errors.Is(err, projections.ErrStreamTaken) {
		t.Fatalf("got %v", err)
	}
}
