package order_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/money"
)

var at = time.Date(2011, 3, 1, 9, 0, 0, 0, time.UTC)

func gbp(minor int64) money.Amount { return money.Of(minor, "GBP") }

func item(sku string, quantity, price int64) order.Item {
	return order.Item{SKU: sku, Quantity: quantity, Offer: order.Offer{Exists: true, OnSale: true, Name: sku, Price: gbp(price), Revision: 3}}
}

func placement(items ...order.Item) order.Placement {
	return order.Placement{Order: "o1", Number: "O1", Customer: "c1", Items: items, Currency: "GBP", Country: "GB", PlacedAt: at}
}

func fold(s order.State, events ...order.Event) order.State {
	for _, e := range events {
		s = order.Evolve(s, e)
	}
	return s
}

func placed(t *testing.T, items ...order.Item) order.State {
	t.Helper()
	events, err := order.Place(order.State{}, placement(items...))
	if err != nil {
		t.Fatal(err)
	}
	return fold(order.State{}, events...)
}

func TestPlaceKeepsEqualLinesApart(t *testing.T) {
	s := placed(t, item("A", 2, 150), item("A", 2, 150), item("B", 1, 5))
	want := []order.Line{
		{Line: 1, SKU: "A", Name: "A", Quantity: 2, UnitPrice: gbp(150), ProductRevision: 3},
		{Line: 2, SKU: "A", Name: "A", Quantity: 2, UnitPrice: gbp(150), ProductRevision: 3},
		{Line: 3, SKU: "B", Name: "B", Quantity: 1, UnitPrice: gbp(5), ProductRevision: 3},
	}
	if diff := cmp.Diff(want, s.Lines); diff != "" || s.Total != gbp(605) {
		t.Errorf("total %v, lines %s", s.Total, diff)
	}
}

func TestPlaceRefuses(t *testing.T) {
	euro, negative, free := money.Of(5, "EUR"), gbp(-1), gbp(0)
	with := func(change func(*order.Item)) []order.Item {
		i := item("A", 1, 100)
		change(&i)
		return []order.Item{i}
	}
	for name, c := range map[string]struct {
		items []order.Item
		err   error
	}{
		"no lines":          {nil, order.ErrNoLines},
		"10,000 lines":      {make([]order.Item, 10_000), order.ErrTooManyLines},
		"no unit":           {with(func(i *order.Item) { i.Quantity = 0 }), order.ErrQuantity},
		"negative":          {with(func(i *order.Item) { i.Quantity = -1 }), order.ErrQuantity},
		"a million and one": {with(func(i *order.Item) { i.Quantity = 1_000_001 }), order.ErrQuantity},
		"unknown":           {with(func(i *order.Item) { i.Offer = order.Offer{} }), order.ErrUnknownProduct},
		"discontinued":      {with(func(i *order.Item) { i.Offer.OnSale = false }), order.ErrNotOnSale},
		"other currency":    {with(func(i *order.Item) { i.Offer.Price = euro }), order.ErrMixedCurrencies},
		"no reason":         {with(func(i *order.Item) { i.Price = &free }), order.ErrPriceReason},
		"negative price":    {with(func(i *order.Item) { i.Price, i.PriceReason = &negative, "x" }), order.ErrPriceNegative},
		"overflow":          {with(func(i *order.Item) { i.Offer.Price, i.Quantity = gbp(math.MaxInt64), 2 }), money.ErrAmountOverflow},
		"overflow in sum":   {[]order.Item{item("A", 1, math.MaxInt64), item("A", 1, 1)}, money.ErrAmountOverflow},
	} {
		if events, err := order.Place(order.State{}, placement(c.items...)); !errors.Is(err, c.err) || events != nil {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
	if _, err := order.Place(placed(t, item("A", 1, 1)), placement(item("A", 1, 1))); !errors.Is(err, order.ErrAlreadyPlaced) {
		t.Errorf("placed twice: %v", err)
	}
}

func TestTheLifeOfAnOrder(t *testing.T) {
	s := placed(t, item("A", 3, 100))
	cancel := order.CancelRequested{Order: "o1", Customer: "c1", Reason: "CHANGED_MIND", Note: sealedNote}
	confirmed := fold(s, order.Confirmed{Order: "o1", Payment: "o1", Shipment: "o1"})
	shipped := fold(confirmed, order.Shipped{Shipment: "o1", Tracking: "T"})
	cancelled := fold(s, order.Cancelled{Code: "X"})
	none := order.State{}
	for name, c := range map[string]struct {
		events []order.Event
		err    error
		got    func() ([]order.Event, error)
	}{
		"ask":                      {[]order.Event{cancel}, nil, func() ([]order.Event, error) { return order.RequestCancel(s, cancel.Cause(), sealedNote) }},
		"ask again":                {nil, nil, func() ([]order.Event, error) { return order.RequestCancel(fold(s, cancel), "x", sealedNote) }},
		"ask after confirmation":   {[]order.Event{cancel}, nil, func() ([]order.Event, error) { return order.RequestCancel(confirmed, cancel.Cause(), sealedNote) }},
		"ask too late":             {nil, order.ErrAlreadyShipped, func() ([]order.Event, error) { return order.RequestCancel(shipped, "x", sealedNote) }},
		"ask for nothing":          {nil, order.ErrNotFound, func() ([]order.Event, error) { return order.RequestCancel(none, "x", sealedNote) }},
		"confirm what is unwanted": {nil, order.ErrCancelRequested, func() ([]order.Event, error) { return order.Confirm(fold(s, cancel), "o1", "o1") }},
		"confirm the cancelled":    {nil, order.ErrCancelled, func() ([]order.Event, error) { return order.Confirm(cancelled, "o1", "o1") }},
		"confirm again":            {nil, nil, func() ([]order.Event, error) { return order.Confirm(confirmed, "o1", "o1") }},
		"cancel too late":          {nil, order.ErrAlreadyShipped, func() ([]order.Event, error) { return order.Cancel(shipped, "X", "x") }},
		"ship unconfirmed":         {nil, order.ErrNotConfirmed, func() ([]order.Event, error) { return order.MarkShipped(s, "o1", "T") }},
		"it left all the same": {[]order.Event{order.Shipped{Order: "o1", Customer: "c1", Shipment: "o1", Tracking: "T"}}, nil,
			func() ([]order.Event, error) { return order.MarkShipped(fold(confirmed, cancel), "o1", "T") }},
		"deliver unshipped": {nil, order.ErrNotShipped, func() ([]order.Event, error) { return order.MarkDelivered(confirmed) }},
		"return unshipped": {nil, order.ErrNotShipped, func() ([]order.Event, error) {
			return order.TakeBack(confirmed, order.Return{Lines: []order.ReturnLine{{Line: 1, Quantity: 1}}})
		}},
		"return line 2": {nil, order.ErrUnknownLine, func() ([]order.Event, error) {
			return order.TakeBack(shipped, order.Return{Lines: []order.ReturnLine{{Line: 2, Quantity: 1}}})
		}},
		"return 2 and 2 of 3": {nil, order.ErrReturnTooMuch, func() ([]order.Event, error) {
			return order.TakeBack(shipped, order.Return{Lines: []order.ReturnLine{{Line: 1, Quantity: 2}, {Line: 1, Quantity: 2}}})
		}},
		"return dearer": {nil, order.ErrRefundTooMuch, func() ([]order.Event, error) {
			price := gbp(101)
			return order.TakeBack(shipped, order.Return{Lines: []order.ReturnLine{{Line: 1, Quantity: 3, UnitPrice: &price}}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := c.got()
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("fault %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.events, events); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, _ := order.Cancel(confirmed, "X", "x"); !got[0].(order.Cancelled).Confirmed {
		t.Error("a cancelled order forgot that it had been confirmed")
	}
}

// However often and in whatever portions lines come back: never more units than were bought, never more money than was
// paid, and the sum of the returns is what the order says.
func TestReturnsNeverExceedWhatWasBought(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) order.Item {
			return item("A", rapid.Int64Range(1, 5).Draw(t, "quantity"), rapid.Int64Range(0, 300).Draw(t, "price"))
		}), 1, 4).Draw(t, "items")
		events, err := order.Place(order.State{}, placement(items...))
		if err != nil {
			t.Fatal(err)
		}
		s := fold(order.State{}, append(events, order.Confirmed{}, order.Shipped{})...)
		refunded := int64(0)
		for n := range rapid.IntRange(1, 12).Draw(t, "returns") {
			before := s
			events, err := order.TakeBack(s, order.Return{ID: string(rune('a' + n)), Lines: []order.ReturnLine{{
				Line: rapid.IntRange(0, 5).Draw(t, "line"), Quantity: rapid.Int64Range(-1, 6).Draw(t, "units")}}})
			s = fold(s, events...)
			if err != nil && len(events) > 0 {
				t.Fatalf("refused with %v and decided %v", err, events)
			}
			for _, e := range events {
				refunded += e.(order.Returned).Amount.Minor
				if diff := cmp.Diff(before.Returned, s.Returned); diff == "" {
					t.Fatal("the state before was changed, or the state after was not")
				}
			}
		}
		for l := range s.Lines {
			if s.Left(l+1) < 0 {
				t.Fatalf("line %d: %d left", l+1, s.Left(l+1))
			}
		}
		if refunded > s.Total.Minor || refunded != s.ReturnedTotal.Minor {
			t.Fatalf("refunded %d of %v, the order says %v", refunded, s.Total, s.ReturnedTotal)
		}
	})
}
