package queries_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/queries"
)

func ids(c queries.Connection[queries.OrderView]) []string {
	out := []string{}
	for _, o := range c.Nodes() {
		out = append(out, o.ID)
	}
	return out
}

func TestPagesFitTogetherForwardsAndBackwards(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.orders(11, "ann") // pairs placed at one instant: the id decides
	hundred, three := 100, 3
	whole, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, queries.Page{First: &hundred})
	if err != nil || len(whole.Edges) != 11 || whole.PageInfo.HasNextPage || whole.Edges[0].Node.ID != "ann10" {
		t.Fatalf("%v, %v", ids(whole), err)
	}
	var forwards, backwards []string
	for page := (queries.Page{First: &three}); ; {
		c, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		forwards = append(forwards, ids(c)...)
		if page.After = c.PageInfo.EndCursor; !c.PageInfo.HasNextPage {
			break
		}
	}
	for page := (queries.Page{Last: &three}); ; {
		c, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		backwards = slices.Concat(ids(c), backwards)
		if page.Before = c.PageInfo.StartCursor; !c.PageInfo.HasPreviousPage {
			break
		}
	}
	if diff := cmp.Diff(ids(whole), forwards); diff != "" {
		t.Errorf("forwards:\n%s", diff)
	}
	if diff := cmp.Diff(ids(whole), backwards); diff != "" {
		t.Errorf("backwards:\n%s", diff)
	}
}

func TestFiltersSelect(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.orders(4, "ann")
	w.orders(2, "bob")
	for name, c := range map[string]struct {
		filter queries.OrderFilter
		want   []string
	}{
		"all":      {queries.OrderFilter{}, []string{"bob01", "bob00", "ann01", "ann00", "ann03", "ann02"}},
		"customer": {queries.OrderFilter{Customer: "bob"}, []string{"bob01", "bob00"}},
		"number":   {queries.OrderFilter{Number: "Nann03"}, []string{"ann03"}},
		"sku":      {queries.OrderFilter{SKU: "c"}, []string{}},
		"skus":     {queries.OrderFilter{SKU: "b", Customer: "bob"}, []string{"bob01", "bob00"}},
		"status":   {queries.OrderFilter{Status: "placed"}, []string{}},
		"from":     {queries.OrderFilter{PlacedFrom: epoch.Add(1000)}, []string{"ann03", "ann02"}},
		"to":       {queries.OrderFilter{PlacedTo: epoch.Add(1000), Customer: "ann"}, []string{"ann01", "ann00"}},
	} {
		got, err := w.queries.Orders(ctx, admin, c.filter, queries.Page{})
		if err != nil {
			t.Fatal(err)
		}
		have := ids(got)
		if name == "all" {
			slices.Sort(have)
			slices.Sort(c.want)
		}
		if diff := cmp.Diff(c.want, have); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestBadPagesAreRefused(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.product("a")
	zero, one, many := 0, 1, 101
	for _, page := range []queries.Page{{First: &zero}, {First: &many}, {Last: &zero}, {First: &one, Last: &one}} {
		if _, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, page); !errors.Is(err, queries.ErrPage) {
			t.Errorf("%+v: %v", page, err)
		}
	}
	products, err := w.queries.Products(ctx, ann, queries.ProductFilter{}, queries.Page{})
	if err != nil || len(products.Edges) != 1 {
		t.Fatal(err)
	}
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, cursor := range []string{"!", encode("{}"), encode(`["orders"]`), encode(`["orders","yesterday","x"]`), encode(`["orders","2026-03-01T09:30:00Z","\u0000"]`),
		encode(`["orders","2026-03-01T09:30:00Z"]`), products.PageInfo.EndCursor} {
		if _, err := w.queries.Orders(ctx, ann, queries.OrderFilter{}, queries.Page{After: cursor}); !errors.Is(err, queries.ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}
