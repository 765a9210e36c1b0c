package commands

import (
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
	provider "github.com/annalhq/annal/internal/providers/payment"
)

func (s staffed) orderOf(t testing.TB, id order.ID) order.State {
	t.Helper()
	state, _, err := look(t.Context(), s.Handlers, orders, request{}, string(id), closeLook)
	must(t, err)
	return state
}

func TestAnOrderIsPlacedOnceWithWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	_, err := s.ChangeTier(t.Context(), admin, ChangeTier{Customer: "ada", Tier: customer.VIP, Why: "loyal"})
	must(t, err)
	_, err = s.SetPreferences(t.Context(), buyer("ada"), SetPreferences{Customer: "ada", Mail: true, Language: "de"})
	must(t, err)
	placed, err := s.PlaceOrder(t.Context(), buyer("ada"), mugs("k", 3))
	must(t, err)
	again, err := w.start(t).PlaceOrder(t.Context(), buyer("ada"), mugs("k", 3))
	must(t, err)
	equal(t, again.Replayed, true)
	again.Replayed = false
	equal(t, again, placed)
	_, err = s.PlaceOrder(t.Context(), buyer("ada"), mugs("k", 4))
	refusal(t, err, ErrKeyReused)

	o := s.orderOf(t, placed.Order)
	equal(t, o.Total, money.Of(1350, "GBP"))
	equal(t, o.Priority, order.VIP)
	equal(t, o.Language, "de")
	equal(t, o.Channel, "web")
	equal(t, o.Tender, order.Tender{Provider: "card", Token: provider.TokenOK})
	address, err := s.vault.Open(t.Context(), pii.Address, o.Address)
	must(t, err)
	name, err := s.vault.Open(t.Context(), pii.Name, o.Name)
	must(t, err)
	if !strings.Contains(string(address), "Sentinel Street") || string(name) != "Ada Lovelace" {
		t.Errorf("sealed %s, %s", name, address)
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	_, err := s.CreateProduct(t.Context(), admin, CreateProduct{SKU: "TASSE", Name: "Tasse", Price: money.Of(500, "EUR")})
	must(t, err)
	price := money.Of(1, "GBP")
	ada := buyer("ada")
	for name, c := range map[string]struct {
		by     auth.Principal
		change func(*PlaceOrder)
		err    error
	}{
		"nobody":              {auth.Nobody(), func(*PlaceOrder) {}, auth.ErrUnauthenticated},
		"for somebody else":   {ada, func(c *PlaceOrder) { c.Customer = "bob" }, auth.ErrDenied},
		"by the warehouse":    {auth.Principal{Kind: auth.Staff, ID: "w", Roles: []auth.Role{auth.RoleWarehouse}}, func(c *PlaceOrder) { c.Customer = "ada" }, auth.ErrDenied},
		"for nobody":          {admin, func(*PlaceOrder) {}, ErrNoCustomer},
		"as a guest, oneself": {ada, func(c *PlaceOrder) { c.Guest = &Guest{Name: "x"} }, auth.ErrDenied},
		"unregistered":        {buyer("eve"), func(*PlaceOrder) {}, ErrUnknownCustomer},
		"own price":           {ada, func(c *PlaceOrder) { c.Lines[0].Price, c.Lines[0].PriceReason = &price, "cheap" }, ErrPriceForbidden},
		"admin's own price":   {admin, func(c *PlaceOrder) { c.Customer, c.Lines[0].Price = "ada", &price }, ErrPriceForbidden},
		"free of charge":      {ada, func(c *PlaceOrder) { c.Tender.Provider = Imported }, ErrImportedOnly},
		"unknown provider":    {ada, func(c *PlaceOrder) { c.Tender.Provider = "cash" }, ErrUnknownProvider},
		"unknown carrier":     {ada, func(c *PlaceOrder) { c.Carrier = "pigeon" }, ErrUnknownCarrier},
		"card number":         {ada, func(c *PlaceOrder) { c.Tender.Token = "4242-4242-4242-4242" }, ErrTokenMalformed},
		"no token":            {ada, func(c *PlaceOrder) { c.Tender.Token = "" }, ErrTokenMalformed},
		"no lines":            {ada, func(c *PlaceOrder) { c.Lines = nil }, order.ErrNoLines},
		"10,000 lines":        {ada, func(c *PlaceOrder) { c.Lines = make([]WantedLine, 10_000) }, order.ErrTooManyLines},
		"no customer's id":    {admin, func(c *PlaceOrder) { c.Customer = "a:b" }, customer.ErrIDMalformed},
		"unknown product":     {ada, func(c *PlaceOrder) { c.Lines[0].SKU = "NOPE" }, order.ErrUnknownProduct},
		"two currencies":      {ada, func(c *PlaceOrder) { c.Lines = append(c.Lines, WantedLine{SKU: "TASSE", Quantity: 1}) }, order.ErrMixedCurrencies},
		"unknown currency":    {ada, func(c *PlaceOrder) { c.Currency = "XXX" }, money.ErrUnknownCurrency},
		"negative":            {ada, func(c *PlaceOrder) { c.Lines[0].Quantity = -1 }, order.ErrQuantity},
		"nowhere":             {ada, func(c *PlaceOrder) { c.Address = nil }, ErrAddressNeeded},
		"no such label":       {ada, func(c *PlaceOrder) { c.Address, c.AddressLabel = nil, "work" }, ErrAddressNeeded},
		"invalid UTF-8":       {ada, func(c *PlaceOrder) { a := *home; a.City = "\xff"; c.Address = &a }, customer.ErrAddress},
		"in the past":         {ada, func(c *PlaceOrder) { c.At = time.Unix(0, 0) }, errAtDenied},
	} {
		t.Run(name, func(t *testing.T) {
			command := mugs("", 2)
			c.change(&command)
			_, err := s.PlaceOrder(t.Context(), c.by, command)
			refusal(t, err, c.err)
		})
	}
}

func TestHistoryIsPlacedAtItsOwnTimeAndPrice(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	then := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	price := money.Of(0, "GBP")
	placed, err := s.PlaceOrder(t.Context(), importer, PlaceOrder{
		Meta: Meta{IdempotencyKey: "536365", At: then}, Guest: &Guest{}, Country: "EU", Currency: "GBP", Reference: "536365",
		Lines:  []WantedLine{{SKU: "MUG", Quantity: 6, Price: &price, PriceReason: "imported"}, {SKU: "MUG", Quantity: 6}},
		Tender: order.Tender{Provider: Imported}, Carrier: Imported})
	must(t, err)
	o := s.orderOf(t, placed.Order)
	equal(t, o.PlacedAt, then)
	equal(t, o.Total, money.Of(2700, "GBP"))
	equal(t, o.Channel, "import")
	equal(t, o.Customer, "order-"+string(placed.Order))
}

func TestACheckoutPlacesOneOrderWhoeverPlacesIt(t *testing.T) {
	w := newWorld(t)
	s, other := w.start(t), w.start(t)
	s.stocked(t)
	address, err := s.vault.Seal(t.Context(), "ada", pii.Fulfilment, pii.Address, []byte(`{"line1":"1 Sentinel Street"}`))
	must(t, err)
	e := cart.CheckedOut{Cart: "cart1", Customer: "ada", Order: deriveID("order", "cart1"), Country: "GB", Address: address,
		Total: money.Of(900, "GBP"), Tender: provider.TokenOK,
		Lines: []cart.Line{{SKU: "MUG", Name: "Mug", Quantity: 2, UnitPrice: money.Of(450, "GBP"), ProductRevision: 0}}}
	first, err := s.begin(t.Context(), buyer("ada"), "CheckOut", Meta{}, "ada", e)
	must(t, err)
	second, err := other.begin(t.Context(), operator, "PlaceCheckedOut", Meta{}, "", e)
	must(t, err)
	mine, err := s.placeCheckedOut(t.Context(), buyer("ada"), first, e)
	must(t, err)
	theirs, err := other.placeCheckedOut(t.Context(), operator, second, e)
	must(t, err)
	equal(t, theirs.Revision, mine.Revision)
	equal(t, theirs.Replayed, true)
	equal(t, theirs.Order, mine.Order)
	equal(t, mine.Total, money.Of(900, "GBP"))
}

func TestCancellingAndReturning(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	_, err := s.RequestCancel(t.Context(), buyer("eve"), RequestCancel{Order: o.Order, Reason: "mischief"})
	refusal(t, err, order.ErrNotFound)
	_, err = s.ConfirmOrder(t.Context(), buyer("ada"), ConfirmOrder{Order: o.Order})
	refusal(t, err, auth.ErrDenied)
	_, err = s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: o.Order, Payment: "p", Shipment: "s"})
	must(t, err)
	_, err = s.MarkShipped(t.Context(), operator, MarkShipped{Order: o.Order, Shipment: "s", Tracking: "T"})
	must(t, err)
	_, err = s.RequestCancel(t.Context(), buyer("ada"), RequestCancel{Order: o.Order, Reason: "too late"})
	refusal(t, err, order.ErrAlreadyShipped)
	back := ReturnLines{Meta: Meta{IdempotencyKey: "back"}, Order: o.Order, Lines: []ReturnLine{{Line: 1, Quantity: 1}}, Reason: "broken"}
	_, err = s.ReturnLines(t.Context(), buyer("eve"), back)
	refusal(t, err, order.ErrNotFound)
	cheap := back
	cheap.Lines = []ReturnLine{{Line: 1, Quantity: 1, UnitPrice: &nineGBP}}
	_, err = s.ReturnLines(t.Context(), buyer("ada"), cheap)
	refusal(t, err, ErrPriceForbidden)
	got, err := s.ReturnLines(t.Context(), buyer("ada"), back)
	must(t, err)
	equal(t, got.Amount, money.Of(450, "GBP"))
	again, err := s.ReturnLines(t.Context(), buyer("ada"), back)
	must(t, err)
	equal(t, again.Return, got.Return)
	equal(t, again.Amount, got.Amount)
	back.IdempotencyKey, back.Lines[0].Quantity = "more", 2
	_, err = s.ReturnLines(t.Context(), buyer("ada"), back)
	refusal(t, err, order.ErrReturnTooMuch)

	gone := s.ordered(t, "k2")
	for range 2 {
		_, err = s.RequestCancel(t.Context(), buyer("ada"), RequestCancel{Order: gone.Order, Reason: "changed my mind"})
		must(t, err)
	}
	_, err = s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: gone.Order})
	refusal(t, err, order.ErrCancelRequested)
	done, err := s.CancelOrder(t.Context(), operator, CancelOrder{Order: gone.Order, Code: "REQUESTED", Reason: "changed my mind"})
	must(t, err)
	equal(t, done.Status, order.StatusCancelled)
}

func TestAnOrderArrivesWithItsParcel(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	deliver := DeliverOrder{Meta: Meta{IdempotencyKey: "d"}, Order: o.Order}
	_, err := s.DeliverOrder(t.Context(), buyer("ada"), deliver)
	refusal(t, err, auth.ErrDenied)
	_, err = s.DeliverOrder(t.Context(), admin, deliver)
	refusal(t, err, order.ErrNotShipped)
	_, err = s.ScheduleShipment(t.Context(), operator, s.schedule(t, o))
	must(t, err)
	_, err = s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: o.Order})
	must(t, err)
	left, err := s.DispatchShipment(t.Context(), operator, DispatchShipment{Order: o.Order})
	must(t, err)
	_, err = s.MarkShipped(t.Context(), operator, MarkShipped{Order: o.Order, Tracking: left.Tracking})
	must(t, err)
	got, err := s.DeliverOrder(t.Context(), admin, deliver)
	must(t, err)
	again, err := s.DeliverOrder(t.Context(), admin, deliver)
	must(t, err)
	equal(t, got.Status, order.StatusDelivered)
	equal(t, again.Revision, got.Revision)
}
