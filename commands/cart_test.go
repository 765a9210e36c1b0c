package commands

import (
	"errors"
	"testing"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	provider "github.com/annalhq/annal/internal/providers/payment"
)

// filled opens ada's cart with two mugs.
func (s staffed) filled(t testing.TB) cart.ID {
	t.Helper()
	opened, err := s.OpenCart(t.Context(), buyer("ada"), OpenCart{Currency: "GBP"})
	must(t, err)
	_, err = s.AddItem(t.Context(), buyer("ada"), AddItem{Cart: opened.Cart, SKU: "MUG", Quantity: 2})
	must(t, err)
	return opened.Cart
}

func TestACheckedOutCartIsOneOrder(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	_, err := s.SetAddress(t.Context(), buyer("ada"), SetAddress{Customer: "ada", Label: "home", Address: *home})
	must(t, err)
	id := s.filled(t)
	c := CheckOut{Meta: Meta{IdempotencyKey: "out"}, Cart: id, Label: "home", Tender: provider.TokenOK}
	first, err := s.CheckOut(t.Context(), buyer("ada"), c)
	must(t, err)
	if first.Cart != id || first.Total != money.Of(900, "GBP") {
		t.Errorf("%+v", first)
	}

	// Price, address and product go; the repeat, in another process, and the saga's command still get the order.
	_, err = s.ReviseProduct(t.Context(), admin, ReviseProduct{SKU: "MUG", Price: &money.Amount{Minor: 999, Currency: "GBP"}})
	must(t, err)
	_, err = s.DiscontinueProduct(t.Context(), admin, DiscontinueProduct{SKU: "MUG", Why: "worn out"})
	must(t, err)
	_, err = s.RemoveAddress(t.Context(), buyer("ada"), RemoveAddress{Customer: "ada", Label: "home"})
	must(t, err)
	other := w.start(t)
	again, err := other.CheckOut(t.Context(), buyer("ada"), c)
	if err != nil || again.Order != first.Order || again.Total != first.Total || again.Position != first.Position {
		t.Errorf("first %+v, again %+v, %v", first, again, err)
	}
	saga, err := other.PlaceCheckedOut(t.Context(), operator, PlaceCheckedOut{Cart: id})
	if err != nil || saga.Order != first.Order || saga.Position != first.Position {
		t.Errorf("first %+v, the saga's %+v, %v", first, saga, err)
	}
	o, _, err := look(t.Context(), s.Handlers, orders, request{}, string(first.Order), closeLook)
	must(t, err)
	if o.Status != order.StatusPlaced || o.Cart != string(id) || o.Country != "GB" || o.Address.IsZero() || o.Lines[0].UnitPrice.Minor != 450 || o.Lines[0].ProductRevision != 0 {
		t.Errorf("%+v", o)
	}
	if _, err := s.AddItem(t.Context(), buyer("ada"), AddItem{Cart: id, SKU: "MUG", Quantity: 1}); err == nil {
		t.Error("a cart that was checked out takes more")
	}
	c.IdempotencyKey = "out again"
	if _, err := s.CheckOut(t.Context(), buyer("ada"), c); err == nil {
		t.Error("a cart was checked out twice")
	}
}

func TestAProcessThatDiesBetweenCartAndOrder(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	id := s.filled(t)
	c := CheckOut{Meta: Meta{IdempotencyKey: "out"}, Cart: id, Address: home, Tender: provider.TokenOK}
	input := c
	input.Meta = Meta{}
	r, err := s.begin(t.Context(), buyer("ada"), "CheckOut", c.Meta, "ada", input)
	must(t, err)
	d, err := s.delivery(t.Context(), r, "ada", c)
	must(t, err)
	_, err = s.cart(t.Context(), r, id, func(st cart.State) ([]cart.Event, error) {
		lines, err := s.price(t.Context(), r, st)
		if err != nil {
			return nil, err
		}
		return cart.CheckOut(st, lines, d)
	})
	must(t, err) // and here the process dies

	after := w.start(t)
	saga, err := after.PlaceCheckedOut(t.Context(), operator, PlaceCheckedOut{Cart: id})
	must(t, err)
	got, err := after.CheckOut(t.Context(), buyer("ada"), c)
	if err != nil || got.Order != saga.Order || got.Position != saga.Position || string(got.Order) != d.Order {
		t.Errorf("the saga's %+v, the repeat's %+v, %v", saga, got, err)
	}
}

func TestWhatACartRefuses(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	for _, c := range []CreateProduct{{SKU: "YEN", Name: "Yen mug", Price: money.Of(450, "JPY")}, {SKU: "OLD", Name: "Old mug", Price: money.Of(450, "GBP")}} {
		_, err := s.CreateProduct(t.Context(), admin, c)
		must(t, err)
	}
	_, err := s.DiscontinueProduct(t.Context(), admin, DiscontinueProduct{SKU: "OLD", Why: "old"})
	must(t, err)
	id := s.filled(t)
	empty, err := s.OpenCart(t.Context(), support, OpenCart{Customer: "ada", Currency: "GBP"})
	must(t, err)
	ada, eve := buyer("ada"), buyer("eve")
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"open for a stranger":      {second(s.OpenCart(t.Context(), support, OpenCart{Customer: "zoe", Currency: "GBP"})), customer.ErrMissing},
		"open for somebody else":   {second(s.OpenCart(t.Context(), eve, OpenCart{Customer: "ada", Currency: "GBP"})), auth.ErrDenied},
		"open as nobody":           {second(s.OpenCart(t.Context(), auth.Nobody(), OpenCart{Currency: "GBP"})), auth.ErrUnauthenticated},
		"open in no currency":      {second(s.OpenCart(t.Context(), ada, OpenCart{Currency: "XXX"})), money.ErrUnknownCurrency},
		"add an unknown product":   {second(s.AddItem(t.Context(), ada, AddItem{Cart: id, SKU: "NONE", Quantity: 1})), product.ErrMissing},
		"add a product no more":    {second(s.AddItem(t.Context(), ada, AddItem{Cart: id, SKU: "OLD", Quantity: 1})), product.ErrDiscontinued},
		"add another currency":     {second(s.AddItem(t.Context(), ada, AddItem{Cart: id, SKU: "YEN", Quantity: 1})), cart.ErrCurrency},
		"add less than one":        {second(s.AddItem(t.Context(), ada, AddItem{Cart: id, SKU: "MUG", Quantity: -1})), cart.ErrQuantity},
		"add what is no SKU":       {second(s.AddItem(t.Context(), ada, AddItem{Cart: id, SKU: "$", Quantity: 1})), product.ErrSKUMalformed},
		"add to another's cart":    {second(s.AddItem(t.Context(), eve, AddItem{Cart: id, SKU: "MUG", Quantity: 1})), auth.ErrDenied},
		"add to no cart":           {second(s.AddItem(t.Context(), eve, AddItem{Cart: "none", SKU: "MUG", Quantity: 1})), auth.ErrDenied},
		"add to no cart, as staff": {second(s.AddItem(t.Context(), support, AddItem{Cart: "none", SKU: "MUG", Quantity: 1})), cart.ErrMissing},
		"change what is not there": {second(s.ChangeItem(t.Context(), ada, ChangeItem{Cart: id, SKU: "YEN", Quantity: 1})), cart.ErrItemMissing},
		"remove what is not there": {second(s.RemoveItem(t.Context(), ada, RemoveItem{Cart: id, SKU: "YEN"})), cart.ErrItemMissing},
		"another's check-out":      {second(s.CheckOut(t.Context(), eve, CheckOut{Cart: id, Address: home, Tender: "tok"})), auth.ErrDenied},
		"nothing to check out":     {second(s.CheckOut(t.Context(), ada, CheckOut{Cart: empty.Cart, Address: home, Tender: "tok"})), cart.ErrEmpty},
		"no address":               {second(s.CheckOut(t.Context(), ada, CheckOut{Cart: id, Tender: "tok"})), errOneAddress},
		"an address not there":     {second(s.CheckOut(t.Context(), ada, CheckOut{Cart: id, Label: "moon", Tender: "tok"})), customer.ErrAddressMissing},
		"an address of nothing":    {second(s.CheckOut(t.Context(), ada, CheckOut{Cart: id, Address: &customer.Address{}, Tender: "tok"})), customer.ErrAddress},
		"a card number":            {second(s.CheckOut(t.Context(), ada, CheckOut{Cart: id, Address: home, Tender: "4242424242424242"})), ErrTokenMalformed},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	_, err = s.AddItem(t.Context(), support, AddItem{Cart: id, SKU: "MUG", Quantity: 1})
	must(t, err)
	_, err = s.ChangeItem(t.Context(), ada, ChangeItem{Cart: id, SKU: "MUG", Quantity: 5})
	must(t, err)
	st, _, err := look(t.Context(), s.Handlers, carts, request{}, string(id), closeLook)
	if err != nil || st.Quantity("MUG") != 5 || len(st.Items) != 1 || st.Checkout != nil {
		t.Errorf("%+v, %v", st, err)
	}

	// What leaves the catalogue after it was put into the cart is found at check-out.
	_, err = s.DiscontinueProduct(t.Context(), admin, DiscontinueProduct{SKU: "MUG", Why: "gone"})
	must(t, err)
	lookAgain := w.start(t)
	if _, err := lookAgain.CheckOut(t.Context(), ada, CheckOut{Cart: id, Address: home, Tender: "tok"}); !errors.Is(err, product.ErrDiscontinued) {
		t.Errorf("sold what is sold no more: %v", err)
	}
}
