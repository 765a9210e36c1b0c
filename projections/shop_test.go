package projections_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/notification"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/money"
)

// shop writes a history of n orders of every fate, interleaved as a seed says.
func shop(t testing.TB, r *rand.Rand, n int) *history {
	t.Helper()
	h := &history{}
	skus := []string{"85123A", "71053", "a/b"}
	for _, sku := range skus {
		h.add(t, eventstore.Product.Stream(sku), product.Created{SKU: product.SKU(sku), Name: "name of " + sku, Price: money.Of(255, "GBP")})
		h.add(t, eventstore.Inventory.Stream(sku), inventory.Received{SKU: inventory.SKU(sku), Quantity: 1000})
		h.add(t, eventstore.Inventory.Stream(sku), inventory.ThresholdSet{SKU: inventory.SKU(sku), Threshold: 990})
	}
	var lives [][]func()
	for i := range n {
		lives = append(lives, orderLife(t, r, h, i, skus))
	}
	for len(lives) > 0 { // interleave: each order keeps its own sequence
		i := r.IntN(len(lives))
		lives[i][0]()
		if lives[i] = lives[i][1:]; len(lives[i]) == 0 {
			lives = append(lives[:i], lives[i+1:]...)
		}
	}
	return h
}

func orderLife(t testing.TB, r *rand.Rand, h *history, i int, skus []string) []func() {
	id, who := fmt.Sprintf("o%03d", i), fmt.Sprintf("c%d", i%3)
	var lines []order.Line
	var total int64
	for n := range 1 + r.IntN(3) {
		l := order.Line{Line: n + 1, SKU: skus[r.IntN(len(skus))], Quantity: int64(1 + r.IntN(5)), UnitPrice: money.Of(int64(100+r.IntN(900)), "GBP")}
		lines, total = append(lines, l), total+l.Quantity*l.UnitPrice.Minor
	}
	sum := money.Of(total, "GBP")
	o, pay, ship := eventstore.Order.Stream(id), payment.Of{Payment: payment.ID("p" + id), Order: id, Customer: who}, shipment.Of{Shipment: shipment.ID("s" + id), Order: id, Customer: who}
	at := epoch.AddDate(0, 0, r.IntN(40))
	do := func(s eventstore.Stream, body interface{ Type() string }) func() { return func() { h.add(t, s, body) } }
	payments, shipments := eventstore.Payment.Stream("p"+id), eventstore.Shipment.Stream("s"+id)
	life := []func(){do(o, order.Placed{Order: order.ID(id), Number: "N" + id, Customer: who, Priority: order.Normal, Lines: lines, Total: sum, Country: "GB",
		Name: sealed(who, "name "+who), Email: sealed(who, who+"@example.org"), Language: "en", Tender: order.Tender{Provider: "card"}, Carrier: "standard", Channel: "web", PlacedAt: at})}
	for _, l := range lines {
		life = append(life, do(eventstore.Inventory.Stream(l.SKU), inventory.Reserved{SKU: inventory.SKU(l.SKU), Order: id, Line: l.Line, Quantity: l.Quantity}))
	}
	life = append(life, do(payments, payment.Opened{Of: pay, Amount: sum, Provider: "card", Ref: "r" + id}), do(payments, payment.AuthorisationRequested{Of: pay}))
	if i%7 == 6 { // refused
		return append(life, do(payments, payment.Declined{Of: pay, Code: "CARD_DECLINED"}),
			do(o, order.Cancelled{Order: order.ID(id), Customer: who, Country: "GB", Code: "PAYMENT_DECLINED", Lines: lines, Total: sum, PlacedAt: at}))
	}
	life = append(life, do(payments, payment.Authorised{Of: pay, Amount: sum}), do(shipments, shipment.Requested{Of: ship, Carrier: "standard", Country: "GB"}),
		do(shipments, shipment.Scheduled{Of: ship, Carrier: "standard", Ref: "x"}), do(payments, payment.Captured{Of: pay, Amount: sum}),
		do(o, order.Confirmed{Order: order.ID(id), Customer: who, Country: "GB", Channel: "web", Lines: lines, Total: sum, Payment: "p" + id, Shipment: "s" + id, PlacedAt: at}))
	if i%7 == 5 { // cancelled after it was confirmed
		return append(life, do(o, order.Cancelled{Order: order.ID(id), Customer: who, Country: "GB", Code: "REQUESTED", Lines: lines, Total: sum, Confirmed: true, PlacedAt: at}))
	}
	of := notification.Of{Notification: notification.ID("n" + id), Order: id, Customer: who}
	life = append(life, do(eventstore.Notification.Stream("n"+id), notification.Requested{Of: of, Channel: notification.Mail, Template: "order-confirmed", Language: "en", To: sealed(who, who+"@example.org")}),
		do(shipments, shipment.Dispatched{Of: ship, Tracking: "T" + id}), do(o, order.Shipped{Order: order.ID(id), Customer: who, Shipment: "s" + id, Tracking: "T" + id}))
	if i%7 == 4 {
		back := order.ReturnedLine{Line: 1, SKU: lines[0].SKU, Quantity: 1, UnitPrice: lines[0].UnitPrice}
		life = append(life, do(o, order.Returned{Order: order.ID(id), Customer: who, Country: "GB", Return: "r" + id, Payment: "p" + id, Lines: []order.ReturnedLine{back},
			Amount: back.UnitPrice, Reason: "broken", ReturnedAt: at.AddDate(0, 0, 10)}),
			do(payments, payment.Refunded{Of: pay, Refund: "r" + id, Amount: back.UnitPrice}))
	}
	people, carts := eventstore.Customer.Stream(who+id), eventstore.Cart.Stream("k"+id)
	return append(life, do(people, customer.Registered{Customer: customer.ID(who + id), Email: sealed(who+id, "e"), Language: "en"}),
		do(people, customer.AddressSet{Customer: customer.ID(who + id), Label: "home", Address: sealed(who+id, "street"), Country: "GB"}),
		do(carts, cart.Opened{Cart: cart.ID("k" + id), Customer: who, Currency: "GBP"}),
		do(carts, cart.ItemAdded{Cart: cart.ID("k" + id), Customer: who, SKU: skus[0], Quantity: 2}))
}
