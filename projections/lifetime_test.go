package projections_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/projections"
)

// The read model of docs/projections.md, step by step. The page quotes what stands between the marks.

// page:row

// lifetimeRow is what one customer has bought, in minor units of one currency.
type lifetimeRow struct {
	projections.Head
	Customer string `db:"customer"`
	Currency string `db:"currency"`
	Orders   int64  `db:"orders"`
	Value    int64  `db:"value"`
}

// page:end

// page:fold

func lifetime() projections.Spec[lifetimeRow] {
	return projections.Spec[lifetimeRow]{
		Name: "lifetime", Version: 1,
		Categories: []eventstore.Category{eventstore.Order},
		Ignore: []string{order.TypePlaced, order.TypeCancelRequested, order.TypeCancelled, order.TypeShipped, order.TypeDelivered,
			order.TypeReturned},
		Keys: func(e projections.Event) []string {
			if b, ok := e.Body.(order.Confirmed); ok {
				return []string{b.Customer + "/" + string(b.Total.Currency)}
			}
			return nil // a type that we neither ignore nor know: parked, never skipped
		},
		Apply: func(r *lifetimeRow, e projections.Event) error {
			b, ok := e.Body.(order.Confirmed)
			if !ok {
				return projections.ErrUnhandled
			}
			r.Customer, r.Currency = b.Customer, string(b.Total.Currency)
			r.Orders++
			r.Value += b.Total.Minor
			return nil
		},
	}
}

// page:end

const lifetimeSQL = `CREATE TABLE lifetime (
    id       text   PRIMARY KEY,
    position bigint NOT NULL,
    events   bigint NOT NULL,
    customer text   NOT NULL,
    currency text   NOT NULL,
    orders   bigint NOT NULL,
    value    bigint NOT NULL
);

CREATE INDEX lifetime_by_value ON lifetime (currency, value DESC, id);
`

func TestThePageAboutProjectionsIsTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/projections.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("lifetime_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"// page:row\n", "// page:fold\n"} {
		_, code, _ := strings.Cut(string(source), "\n"+mark)
		code, _, _ = strings.Cut(code, "// page:end")
		code = strings.ReplaceAll(code, "projections.", "") // inside the package it is written without
		if code = strings.TrimSpace(code); code == "" || !strings.Contains(string(page), code) {
			t.Errorf("the page doesn't show what stands after %q here:\n%s", strings.TrimSpace(mark), code)
		}
	}
	if !strings.Contains(string(page), strings.TrimSpace(lifetimeSQL)) {
		t.Error("the page doesn't show the SQL")
	}
	spec := lifetime()
	spec.SQL = lifetimeSQL
	p, err := projections.Define(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, h, pool := context.Background(), shop(t, seeded(8), 12), database(t)
	list := []projections.Projection{p}
	if err := projections.Prepare(ctx, pool, list); err != nil {
		t.Fatal(err)
	}
	if err := projector(t, pool, h, projections.Config{Projections: list}).RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
	var orders, confirmed int64
	if err := pool.QueryRow(ctx, `SELECT sum(orders)::bigint FROM read.lifetime`).Scan(&orders); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.events {
		if e.Type == order.TypeConfirmed {
			confirmed++
		}
	}
	if orders != confirmed || orders == 0 {
		t.Fatalf("%d orders of %d", orders, confirmed)
	}
}
