package product_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/internal/money"
)

const sku = product.SKU("85123A")

var (
	price   = money.Of(255, "GBP")
	created = product.Created{SKU: sku, Name: "Holder", Description: "white", Price: price}
	gone    = product.Discontinued{SKU: sku, Reason: "worn out"}
)

type (
	events   = []product.Event
	decision func(product.State) ([]product.Event, error)
)

func create(name string, price money.Amount) decision {
	return func(s product.State) ([]product.Event, error) { return product.Create(s, sku, name, "white", price) }
}
func revise(r product.Revision) decision {
	return func(s product.State) ([]product.Event, error) { return product.Revise(s, r) }
}
func discontinue(why string) decision {
	return func(s product.State) ([]product.Event, error) { return product.Discontinue(s, why) }
}

func TestDecisions(t *testing.T) {
	dearer, yen := money.Of(300, "GBP"), money.Of(300, "JPY")
	for name, c := range map[string]struct {
		given   events
		when    decision
		then    events
		refused error
	}{
		"create":                      {nil, create("Holder", price), events{created}, nil},
		"create again":                {events{created}, create("Holder", price), nil, product.ErrExists},
		"create what was ended":       {events{created, gone}, create("Holder", price), nil, product.ErrExists},
		"create without a name":       {nil, create("", price), nil, product.ErrName},
		"create with a long name":     {nil, create(strings.Repeat("ä", 201), price), nil, product.ErrName},
		"create with the longest":     {nil, create(strings.Repeat("ä", 200), price), events{product.Created{SKU: sku, Name: strings.Repeat("ä", 200), Description: "white", Price: price}}, nil},
		"create with a control":       {nil, create("a\x1bb", price), nil, product.ErrName},
		"create with broken UTF-8":    {nil, create("a\xff", price), nil, product.ErrName},
		"create for nothing":          {nil, create("Holder", money.Of(0, "GBP")), nil, product.ErrPrice},
		"create for less":             {nil, create("Holder", money.Of(-1, "GBP")), nil, product.ErrPrice},
		"create for the most":         {nil, create("Holder", money.Of(product.MaxPrice, "GBP")), events{product.Created{SKU: sku, Name: "Holder", Description: "white", Price: money.Of(product.MaxPrice, "GBP")}}, nil},
		"create for more":             {nil, create("Holder", money.Of(product.MaxPrice+1, "GBP")), nil, product.ErrPrice},
		"create in no currency":       {nil, create("Holder", money.Of(1, "")), nil, money.ErrUnknownCurrency},
		"create in another":           {nil, create("Holder", money.Of(1, "XXX")), nil, money.ErrUnknownCurrency},
		"revise the price":            {events{created}, revise(product.Revision{Price: &dearer}), events{product.Revised{SKU: sku, Price: &dearer}}, nil},
		"revise one of two":           {events{created}, revise(product.Revision{Name: new("Holder"), Price: &yen}), events{product.Revised{SKU: sku, Price: &yen}}, nil},
		"revise nothing":              {events{created}, revise(product.Revision{}), events{product.Revised{SKU: sku}}, nil},
		"revise to the same":          {events{created}, revise(product.Revision{Name: new("Holder"), Description: new("white"), Price: &price}), events{product.Revised{SKU: sku}}, nil},
		"revise the description away": {events{created}, revise(product.Revision{Description: new("")}), events{product.Revised{SKU: sku, Description: new("")}}, nil},
		"revise to no name":           {events{created}, revise(product.Revision{Name: new("")}), nil, product.ErrName},
		"revise to a long text":       {events{created}, revise(product.Revision{Description: new(strings.Repeat("a", 4001))}), nil, product.ErrDescription},
		"revise with line breaks":     {events{created}, revise(product.Revision{Description: new("a\nb")}), events{product.Revised{SKU: sku, Description: new("a\nb")}}, nil},
		"revise what is not":          {nil, revise(product.Revision{Price: &dearer}), nil, product.ErrMissing},
		"revise what was ended":       {events{created, gone}, revise(product.Revision{Price: &dearer}), nil, product.ErrDiscontinued},
		"discontinue":                 {events{created}, discontinue("worn out"), events{gone}, nil},
		"discontinue again":           {events{created, gone}, discontinue("worn out"), nil, nil},
		"discontinue what is not":     {nil, discontinue("worn out"), nil, product.ErrMissing},
		"discontinue without reason":  {events{created}, discontinue(""), nil, product.ErrReason},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.when(fold(c.given))
			if !errors.Is(err, c.refused) || (err == nil) != (c.refused == nil) {
				t.Fatalf("refused with %v, want %v", err, c.refused)
			}
			if diff := cmp.Diff(c.then, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if s := fold(events{created, gone}); s.OnSale() || !s.Exists() {
		t.Errorf("discontinued: %+v", s)
	}
}

func fold(given events) product.State {
	var s product.State
	for _, e := range given {
		s = product.Evolve(s, e)
	}
	return s
}

// TestWhatIsAcceptedIsSo checks, over any revisions, that the state after an accepted one shows what was wanted, that
// the price stays a price, and that the same revision again does nothing.
func TestWhatIsAcceptedIsSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := fold(events{created})
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			r := product.Revision{
				Name: rapid.Ptr(rapid.StringN(0, 10, -1), true).Draw(t, "name"),
				Price: rapid.Ptr(rapid.Custom(func(t *rapid.T) money.Amount {
					return money.Of(rapid.Int64().Draw(t, "minor"), money.Currency(rapid.SampledFrom([]string{"GBP", "JPY", "gbp"}).Draw(t, "currency")))
				}), true).Draw(t, "price"),
			}
			got, err := product.Revise(s, r)
			if err != nil {
				continue
			}
			for _, e := range got {
				s = product.Evolve(s, e)
			}
			if r.Name != nil && s.Name != *r.Name || r.Price != nil && s.Price != *r.Price {
				t.Fatalf("%+v after %+v", s, r)
			}
			if s.Price.Minor <= 0 || s.Name == "" || !s.Price.Currency.Known() {
				t.Fatalf("%+v", s)
			}
			again, err := product.Revise(s, r) // says that nothing differs any more
			if diff := cmp.Diff([]product.Event{product.Revised{SKU: s.SKU}}, again); err != nil || diff != "" {
				t.Fatalf("again: %v, %v", diff, err)
			}
		}
	})
}

func TestSKU(t *testing.T) {
	for _, good := range []product.SKU{"85123A", "15056bl", "gift_0001_20", "a.b-c", "0", product.SKU(strings.Repeat("a", 64))} {
		if err := good.Validate(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []product.SKU{"", "-a", ".a", "_a", "a b", "ä", "a/b", "a\x00", product.SKU(strings.Repeat("a", 65))} {
		if bad.Validate() == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
