package cart_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

const (
	id    = cart.ID("k1")
	owner = "c1"
)

var (
	opened   = cart.Opened{Cart: id, Customer: owner, Currency: "GBP"}
	delivery = cart.Delivery{Order: "o1", Country: "GB", Tender: "tok",
		Address: pii.Sealed{Key: pii.KeyID{Subject: owner, Purpose: pii.Fulfilment, Version: 1}, Cipher: []byte("a")}}
)

func added(sku string, n int64) cart.Event {
	return cart.ItemAdded{Cart: id, Customer: owner, SKU: sku, Quantity: n}
}
func priced(sku string, n, minor int64) cart.Line {
	return cart.Line{SKU: sku, Name: "thing", Quantity: n, UnitPrice: money.Of(minor, "GBP"), ProductRevision: 4}
}
func checkedOut(total int64, lines ...cart.Line) cart.CheckedOut {
	return cart.CheckedOut{Cart: id, Customer: owner, Order: "o1", Lines: lines, Total: money.Of(total, "GBP"), Country: "GB", Address: delivery.Address, Tender: "tok"}
}

type (
	events   = []cart.Event
	decision func(cart.State) ([]cart.Event, error)
)

func open(customer string, c money.Currency) decision {
	return func(s cart.State) ([]cart.Event, error) { return cart.Open(s, id, customer, c) }
}
func add(sku string, n int64) decision {
	return func(s cart.State) ([]cart.Event, error) { return cart.AddItem(s, sku, n) }
}
func change(sku string, n int64) decision {
	return func(s cart.State) ([]cart.Event, error) { return cart.ChangeItem(s, sku, n) }
}
func remove(sku string) decision {
	return func(s cart.State) ([]cart.Event, error) { return cart.RemoveItem(s, sku) }
}
func checkOut(lines ...cart.Line) decision {
	return func(s cart.State) ([]cart.Event, error) { return cart.CheckOut(s, lines, delivery) }
}

func TestDecisions(t *testing.T) {
	full := events{opened}
	for i := range cart.MaxItems {
		full = append(full, added(fmt.Sprint("s", i), 1))
	}
	done := checkedOut(500, priced("A", 2, 250))
	yen := cart.Line{SKU: "A", Quantity: 2, UnitPrice: money.Of(250, "JPY")}
	for name, c := range map[string]struct {
		given   events
		when    decision
		then    events
		refused error
	}{
		"open":                    {nil, open(owner, "GBP"), events{opened}, nil},
		"open again":              {events{opened}, open(owner, "GBP"), nil, cart.ErrExists},
		"open for nobody":         {nil, open("", "GBP"), nil, cart.ErrCustomer},
		"open in no currency":     {nil, open(owner, "XXX"), nil, money.ErrUnknownCurrency},
		"add":                     {events{opened}, add("A", 2), events{added("A", 2)}, nil},
		"add more":                {events{opened, added("A", 2)}, add("A", 3), events{added("A", 3)}, nil},
		"add nothing":             {events{opened}, add("A", 0), nil, cart.ErrQuantity},
		"add less":                {events{opened}, add("A", -2), nil, cart.ErrQuantity},
		"add the most":            {events{opened}, add("A", cart.MaxQuantity), events{added("A", cart.MaxQuantity)}, nil},
		"add over the most":       {events{opened, added("A", 1)}, add("A", cart.MaxQuantity), nil, cart.ErrQuantity},
		"add an overflow":         {events{opened, added("A", 1)}, add("A", math.MaxInt64), nil, cart.ErrQuantity},
		"add a 501st":             {full, add("A", 1), nil, cart.ErrFull},
		"add to one of 500":       {full, add("s7", 1), events{added("s7", 1)}, nil},
		"add to no cart":          {nil, add("A", 1), nil, cart.ErrMissing},
		"add after check-out":     {events{opened, added("A", 2), done}, add("A", 1), nil, cart.ErrCheckedOut},
		"change":                  {events{opened, added("A", 2)}, change("A", 5), events{cart.ItemChanged{Cart: id, Customer: owner, SKU: "A", Quantity: 5}}, nil},
		"change to the same":      {events{opened, added("A", 2)}, change("A", 2), events{cart.ItemChanged{Cart: id, Customer: owner, SKU: "A", Quantity: 2}}, nil},
		"change to nothing":       {events{opened, added("A", 2)}, change("A", 0), nil, cart.ErrQuantity},
		"change what is not":      {events{opened, added("A", 2)}, change("B", 1), nil, cart.ErrItemMissing},
		"remove":                  {events{opened, added("A", 2)}, remove("A"), events{cart.ItemRemoved{Cart: id, Customer: owner, SKU: "A"}}, nil},
		"remove what is not":      {events{opened}, remove("A"), nil, cart.ErrItemMissing},
		"remove after check-out":  {events{opened, added("A", 2), done}, remove("A"), nil, cart.ErrCheckedOut},
		"check out":               {events{opened, added("A", 2)}, checkOut(priced("A", 2, 250)), events{done}, nil},
		"check out two":           {events{opened, added("B", 1), added("A", 2)}, checkOut(priced("B", 1, 99), priced("A", 2, 250)), events{checkedOut(599, priced("B", 1, 99), priced("A", 2, 250))}, nil},
		"check out again":         {events{opened, added("A", 2), done}, checkOut(priced("A", 2, 250)), nil, cart.ErrCheckedOut},
		"check out nothing":       {events{opened}, checkOut(), nil, cart.ErrEmpty},
		"check out no cart":       {nil, checkOut(), nil, cart.ErrMissing},
		"check out another cart":  {events{opened, added("A", 2)}, checkOut(priced("A", 3, 250)), nil, cart.ErrMoved},
		"check out half":          {events{opened, added("A", 2), added("B", 1)}, checkOut(priced("A", 2, 250)), nil, cart.ErrMoved},
		"check out two monies":    {events{opened, added("A", 2)}, checkOut(yen), nil, cart.ErrCurrency},
		"check out what overruns": {events{opened, added("A", 2)}, checkOut(priced("A", 2, math.MaxInt64)), nil, money.ErrAmountOverflow},
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
}

func fold(given events) cart.State {
	var s cart.State
	for _, e := range given {
		s = cart.Evolve(s, e)
	}
	return s
}

// TestTheCartIsAMap compares a cart with a map over any sequence of commands; the total at check-out is the map's, and no
// earlier state changes.
func TestTheCartIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := fold(events{opened}), map[string]int64{}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			sku := rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "sku")
			n := rapid.Int64Range(-1, 70_000).Draw(t, "quantity")
			do := rapid.SampledFrom([]func(string, int64) decision{add, change, func(sku string, _ int64) decision { return remove(sku) }}).Draw(t, "what")
			before := fmt.Sprint(s)
			es, err := do(sku, n)(s)
			if err != nil {
				continue
			}
			next := s
			for _, e := range es {
				next = cart.Evolve(next, e)
				switch e := e.(type) {
				case cart.ItemAdded:
					want[e.SKU] += e.Quantity
				case cart.ItemChanged:
					want[e.SKU] = e.Quantity
				case cart.ItemRemoved:
					delete(want, e.SKU)
				}
			}
			if fmt.Sprint(s) != before {
				t.Fatal("Evolve changed the state it was given")
			}
			s = next
			if len(s.Items) != len(want) {
				t.Fatalf("%v, want %v", s.Items, want)
			}
			for sku, n := range want {
				if got := s.Quantity(sku); got != n || n < 1 || n > cart.MaxQuantity {
					t.Fatalf("%s: %d, want %d", sku, got, n)
				}
			}
		}
		var lines []cart.Line
		var total int64
		for _, i := range s.Items {
			lines = append(lines, priced(i.SKU, i.Quantity, 7))
			total += 7 * want[i.SKU]
		}
		es, err := checkOut(lines...)(s)
		if len(lines) == 0 {
			if !errors.Is(err, cart.ErrEmpty) {
				t.Fatal(err)
			}
			return
		}
		if err != nil || es[0].(cart.CheckedOut).Total != money.Of(total, "GBP") {
			t.Fatalf("%v, %v, want %d", es, err, total)
		}
	})
}
