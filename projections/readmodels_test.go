package projections_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/projections"
)

var update = flag.Bool("update", false, "write the golden tables")

// every adds one event of every registered type, from the goldens of aggregates, in the order of the register.
func every(t testing.TB) *history {
	t.Helper()
	h := &history{}
	for _, typ := range aggregates.Types() {
		if strings.HasSuffix(typ.Category, "fulfilment") || typ.Category == "return" {
			continue
		}
		data, err := os.ReadFile(filepath.Join("..", "aggregates", "testdata", typ.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		h.raw(t, eventstore.Category(typ.Category).Stream("golden"), typ.Name, data)
	}
	return h
}

// Golden events in, tables out: one of every event, then a few whole orders. Run with -update after a deliberate change, and
// read the difference.
func TestGoldenTables(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*history{"every-event": every(t), "shop": shop(t, seeded(42), 7)} {
		pool := database(t)
		p := projector(t, pool, h, projections.Config{})
		if err := p.RunToEnd(context.Background()); err != nil {
			t.Fatal(err)
		}
		if parked, err := p.Parked(context.Background()); err != nil || len(parked) > 0 {
			t.Fatalf("%s: parked %+v, %v", name, parked, err)
		}
		got, file := tables(t, pool, all(t)), filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// What sales count, with hand-made numbers: the day of the order in the shop's zone, taken back when a confirmed order is
// cancelled, and a return on its own day.
func TestSalesCountOnTheRightDay(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	list, err := projections.All(projections.Settings{Location: london})
	if err != nil {
		t.Fatal(err)
	}
	ctx, pool := context.Background(), database(t)
	late := time.Date(2011, 5, 31, 23, 30, 0, 0, time.UTC) // half past midnight of 1 June in London
	lines := []order.Line{{Line: 1, SKU: "a/b", Quantity: 3, UnitPrice: money.Of(255, "GBP")}, {Line: 2, SKU: "a/b", Quantity: 1, UnitPrice: money.Of(100, "GBP")},
		{Line: 3, SKU: "c", Quantity: 2, UnitPrice: money.Of(50, "GBP")}}
	h := &history{}
	confirmed := func(id string) {
		h.add(t, eventstore.Order.Stream(id), order.Confirmed{Order: order.ID(id), Country: "GB", Lines: lines, Total: money.Of(965, "GBP"), PlacedAt: late})
	}
	confirmed("1")
	confirmed("2")
	h.add(t, "order-2", order.Cancelled{Order: "2", Country: "GB", Lines: lines, Confirmed: true, PlacedAt: late})
	h.add(t, "order-3", order.Cancelled{Order: "3", Country: "GB", Lines: lines, PlacedAt: late}) // never confirmed
	h.add(t, "order-1", order.Returned{Order: "1", Country: "GB", ReturnedAt: late.AddDate(0, 1, 0), Amount: money.Of(255, "GBP"),
		Lines: []order.ReturnedLine{{Line: 1, SKU: "a/b", Quantity: 1, UnitPrice: money.Of(255, "GBP")}}})
	if err := projector(t, pool, h, projections.Config{Projections: list}).RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	var got string
	const sql = `SELECT string_agg(concat_ws(' ', day, sku, units, gross, units_returned, returned, net), '; ' ORDER BY day, sku) FROM read.sales`
	if err := pool.QueryRow(ctx, sql).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "2011-06-01 a/b 4 865 0 0 865; 2011-06-01 c 2 100 0 0 100; 2011-07-02 a/b 0 0 1 255 -255"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// Invariants 27 and 28 over the stock that the shop leaves.
func TestStockBooksAreSquare(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), database(t)
	if err := projector(t, pool, shop(t, seeded(9), 20), projections.Config{}).RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	var rows, wrong int
	const sql = `SELECT count(*), count(*) FILTER (WHERE NOT (on_hand >= 0 AND reserved BETWEEN 0 AND on_hand AND available = on_hand - reserved
		AND low = (threshold > 0 AND available <= threshold) AND received + returned + counted = on_hand + shipped + written_off)) FROM read.stock`
	if err := pool.QueryRow(ctx, sql).Scan(&rows, &wrong); err != nil || rows != 3 || wrong != 0 {
		t.Fatalf("%d rows, %d wrong, %v", rows, wrong, err)
	}
}

// The SQL of every read model works on a database where nothing was prepared before, in any schema of that name alone.
func TestEveryReadModelIsPrepared(t *testing.T) {
	t.Parallel()
	ctx, url := context.Background(), testenv.Postgres(t)
	pool, err := postgres.Open(ctx, url, postgres.Config{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := projections.Prepare(ctx, pool, all(t)); err != nil {
		t.Fatal(err)
	}
	for _, p := range all(t) {
		if _, err := pool.Exec(ctx, "SELECT * FROM read."+p.Name()); err != nil {
			t.Error(err)
		}
	}
}
