package queries_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/queries"
)

func TestWhatIsNotYoursIsAsIfItDidNotExist(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.register("ann", "Ann@Example.org")
	w.order("o1", "ann", epoch)
	q := w.queries
	for name, ask := range map[string]func(auth.Principal, string) error{
		"order":    func(p auth.Principal, x string) error { _, err := q.Order(ctx, p, "o1"+x); return err },
		"payment":  func(p auth.Principal, x string) error { _, err := q.Payment(ctx, p, "po1"+x); return err },
		"shipment": func(p auth.Principal, x string) error { _, err := q.Shipment(ctx, p, "so1"+x); return err },
		"customer": func(p auth.Principal, x string) error { _, err := q.Customer(ctx, p, "ann"+x); return err },
	} {
		for _, p := range []auth.Principal{ann, admin} {
			if err := ask(p, ""); err != nil {
				t.Errorf("%s for %s: %v", name, p.ID, err)
			}
		}
		hidden, none := ask(bob, ""), ask(bob, "-none")
		if !errors.Is(hidden, queries.ErrNotFound) || hidden.Error() != none.Error() {
			t.Errorf("%s: another's: %v, none: %v", name, hidden, none)
		}
		if err := ask(auth.Nobody(), ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s for nobody: %v", name, err)
		}
	}
	page, err := q.Orders(ctx, bob, queries.OrderFilter{}, queries.Page{})
	if err != nil || len(page.Edges) != 0 {
		t.Errorf("bob sees %d orders, %v", len(page.Edges), err)
	}
	if _, err := q.Orders(ctx, bob, queries.OrderFilter{Customer: "ann"}, queries.Page{}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("bob asks for ann's orders: %v", err)
	}
	for name, err := range map[string]error{
		"stock":     second(q.Stocks(ctx, ann, false, queries.Page{})),
		"customers": second(q.Customers(ctx, ann, queries.CustomerFilter{}, queries.Page{})),
		"sales":     second(q.SalesReport(ctx, ann, queries.SalesQuery{By: queries.SalesByDay}, queries.Page{})),
	} {
		if !errors.Is(err, auth.ErrDenied) {
			t.Errorf("%s for a customer: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnOrderShowsEverything(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.order("o1", "ann", epoch)
	got, err := w.queries.Order(ctx, ann, "o1")
	if err != nil {
		t.Fatal(err)
	}
	gbp := func(minor int64) money.Amount { return money.Of(minor, "GBP") }
	if got.Status != "confirmed" || got.Total != gbp(600) || got.Captured != gbp(600) || got.PaymentStatus != "captured" ||
		got.ShipmentStatus != "scheduled" || !got.PlacedAt.Equal(epoch) || len(got.Timeline) != 5 || got.Lines[0].UnitPrice != gbp(255) {
		t.Fatalf("%+v", got)
	}
	want := &customer.Address{Line1: "1 High Street", City: "Leeds", Country: "GB"}
	if got.Person != queries.PersonKnown || *got.Name != "Name of ann" || *got.Email != "ann@example.org" || cmp.Diff(want, got.Address) != "" {
		t.Fatalf("%+v", got)
	}
}

func TestPersonalDataIsForWhoMaySeeItAndGoneOnceErased(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.register("ann", "Ann@Example.org")
	w.order("o1", "ann", epoch)
	o, err := w.queries.Order(ctx, auditor, "o1")
	if err != nil || o.Person != queries.PersonWithheld || o.Name != nil || o.Address != nil {
		t.Fatalf("an auditor sees %+v, %v", o, err)
	}
	for email, want := range map[string]int{"ann@example.org": 1, " ANN@EXAMPLE.ORG": 1, "ann@example.or": 0} {
		found, err := w.queries.Customers(ctx, admin, queries.CustomerFilter{Email: email}, queries.Page{})
		if err != nil || len(found.Edges) != want {
			t.Fatalf("%q found %d, %v", email, len(found.Edges), err)
		}
	}
	if err := w.vault.Shred(ctx, "ann", pii.Fulfilment); err != nil {
		t.Fatal(err)
	}
	if o, err = w.queries.Order(ctx, admin, "o1"); err != nil || o.Person != queries.PersonErased || o.Name != nil || o.Total.Minor != 600 {
		t.Fatalf("after erasure: %+v, %v", o, err)
	}
}

func TestWhatSomebodyTypedIsForWhoMaySeeThePerson(t *testing.T) {
	const words = "an old event's words" // in the clear
	ctx, w := context.Background(), newWorld(t, 0)
	w.order("o1", "ann", epoch)
	w.happen(eventstore.Order.Stream("o1"), order.CancelRequested{Order: "o1", Customer: "ann", Reason: "CHANGED_MIND", Note: w.seal("ann", pii.Note, "Augusta bought one")},
		order.CancelRequested{Order: "o1", Customer: "ann", Reason: words})
	var row string
	if err := w.pool.QueryRow(ctx, "SELECT timeline::text FROM read.orders WHERE id = 'o1'").Scan(&row); err != nil || strings.Contains(row, "Augusta") {
		t.Fatalf("the row says %s, %v", row, err)
	}
	says := func(p auth.Principal, want, old string, person queries.PersonState) {
		t.Helper()
		o, err := w.queries.Order(ctx, p, "o1")
		if err != nil || len(o.Timeline) != 7 || o.Timeline[5].Note != want || o.Timeline[6].Note != old || o.Person != person {
			t.Errorf("%s reads %+v, %s, %v", p.ID, o.Timeline, o.Person, err)
		}
	}
	carrier := auth.Principal{Kind: auth.Staff, ID: "w", Roles: []auth.Role{auth.RoleWarehouse}}
	says(ann, "Augusta bought one", words, queries.PersonKnown)
	says(admin, "Augusta bought one", words, queries.PersonKnown)
	says(auditor, "CHANGED_MIND", "OTHER", queries.PersonWithheld)
	says(carrier, "CHANGED_MIND", "OTHER", queries.PersonKnown)
	if err := w.vault.Shred(ctx, "ann", pii.Fulfilment); err != nil {
		t.Fatal(err)
	}
	says(admin, "CHANGED_MIND", words, queries.PersonErased)
}

func TestAPageOfOrdersCostsFourStatementsAtMost(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.orders(25, "ann")
	w.statements.Store(0)
	page, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, queries.Page{})
	if err != nil || len(page.Edges) != 20 {
		t.Fatalf("%d orders, %v", len(page.Edges), err)
	}
	ids := make([]string, len(page.Edges))
	for i, o := range page.Nodes() {
		ids[i] = o.ID
	}
	payments, err := w.queries.PaymentsByOrder(ctx, ann, ids)
	if err != nil || len(payments) != 20 {
		t.Fatalf("%d payments, %v", len(payments), err)
	}
	shipments, err := w.queries.ShipmentsByOrder(ctx, ann, ids)
	if err != nil || len(shipments) != 20 {
		t.Fatalf("%d shipments, %v", len(shipments), err)
	}
	if n := w.statements.Load(); n > 4 {
		t.Fatalf("%d statements", n)
	}
}

func TestSalesAreExactByEveryGrouping(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.orders(6, "ann") // at 09:30, 10:30 and 11:30 of one day
	w.order("next", "ann", epoch.AddDate(0, 1, 0))
	row := func(key string, units, gross int64) queries.SalesRow {
		return queries.SalesRow{Key: key, Units: units, Gross: money.Of(gross, "GBP"), Returned: money.Of(0, "GBP"), Net: money.Of(gross, "GBP")}
	}
	for by, want := range map[queries.SalesGrouping][]queries.SalesRow{
		queries.SalesByDay:     {row("2026-03-01", 18, 3600), row("2026-04-01", 3, 600)},
		queries.SalesByMonth:   {row("2026-03", 18, 3600), row("2026-04", 3, 600)},
		queries.SalesByCountry: {row("GB", 21, 4200)},
		queries.SalesBySKU:     {row("a", 14, 3570), row("b", 7, 630)},
		queries.SalesTotal:     {row("", 21, 4200)},
	} {
		var got []queries.SalesRow
		one := 1
		for page := (queries.Page{First: &one}); ; {
			c, err := w.queries.SalesReport(ctx, admin, queries.SalesQuery{By: by, Currency: "GBP"}, page)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.Nodes()...)
			if page.After = c.PageInfo.EndCursor; !c.PageInfo.HasNextPage {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s:\n%s", by, diff)
		}
	}
	c, err := w.queries.SalesReport(ctx, admin, queries.SalesQuery{By: queries.SalesBySKU, From: "2026-04-01", To: "2026-04-01", SKU: "b"}, queries.Page{})
	if err != nil || cmp.Diff([]queries.SalesRow{row("b", 1, 90)}, c.Nodes()) != "" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, s := range []queries.SalesQuery{{By: "week"}, {By: queries.SalesByDay, From: "1 March"}} {
		if _, err := w.queries.SalesReport(ctx, admin, s, queries.Page{}); !errors.Is(err, queries.ErrSalesQuery) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
