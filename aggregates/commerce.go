package aggregates

import (
	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
)

// commerce registers what a shop is about: product, inventory, customer, cart, order.
var commerce = []entry{
	of[product.Created]("product", "A product was created and can be ordered.", "sku"),
	of[product.Revised]("product", "A product's name, description or price changed; only what changed is there.", "sku"),
	of[product.Discontinued]("product", "The sale of a product ended for good.", "sku"),

	of[inventory.Received]("inventory", "Units of a SKU came into the house.", "sku"),
	of[inventory.Reserved]("inventory", "Units were set aside for a line of an order.", "sku", "order"),
	of[inventory.Released]("inventory", "A line's reservation was given back, or (quantity 0) is refused for good should it come later.", "sku", "order"),
	of[inventory.Shipped]("inventory", "A reserved line left the house.", "sku", "order"),
	of[inventory.Returned]("inventory", "Units of a shipped line came back on hand.", "sku", "order", "return"),
	of[inventory.Adjusted]("inventory", "The units on hand were corrected: a write-off, or a count that found another number.", "sku"),
	of[inventory.ThresholdSet]("inventory", "The number of available units at which stock counts as low was set.", "sku"),
	of[inventory.WentLow]("inventory", "The available units fell to the threshold or below.", "sku"),

	of[customer.Registered]("customer", "A customer registered.", "customer"),
	of[customer.ProfileUpdated]("customer", "A customer's name, e-mail or phone changed; only what changed is there.", "customer"),
	of[customer.AddressSet]("customer", "An address was put into a customer's book, in place of the one with its label.", "customer"),
	of[customer.AddressRemoved]("customer", "An address was taken out of a customer's book.", "customer"),
	of[customer.PreferencesSet]("customer", "A customer said over which channels and in which language to hear from us.", "customer"),
	of[customer.TierChanged]("customer", "A customer moved to another tier.", "customer"),

	of[cart.Opened]("cart", "A customer opened a cart.", "cart", "customer"),
	of[cart.ItemAdded]("cart", "Units of a SKU were put into a cart.", "cart", "customer", "sku"),
	of[cart.ItemChanged]("cart", "The quantity of a SKU in a cart was set.", "cart", "customer", "sku"),
	of[cart.ItemRemoved]("cart", "A SKU was taken out of a cart.", "cart", "customer", "sku"),
	of[cart.CheckedOut]("cart", "A cart was checked out at the catalogue's prices; it carries everything its order is placed with.", "cart", "customer", "order", "lines.sku"),

	of[order.Placed]("order", "A customer placed an order.", "order", "customer", "country", "placedAt", "lines.sku"),
	of[order.Confirmed]("order", "Stock is reserved, payment captured, shipment scheduled; from here the order counts as sold.", "order", "customer", "country", "channel", "placedAt", "lines.sku", "payment", "shipment"),
	of[order.CancelRequested]("order", "Somebody wants the order cancelled before it is shipped.", "order", "customer"),
	of[order.Cancelled]("order", "The order ended; nothing stays reserved or charged.", "order", "customer", "country", "placedAt", "lines.sku"),
	of[order.Shipped]("order", "The order's goods left.", "order", "customer", "shipment"),
	of[order.Delivered]("order", "The order's goods arrived.", "order", "customer", "shipment"),
	of[order.Returned]("order", "Units of the order come back and are refunded.", "order", "customer", "country", "channel", "return", "payment", "returnedAt", "lines.sku"),
}
