package eventstore

import "slices"

// Category is the kind of a stream: what stands before the first '-' of its name.
type Category string

// The registered categories. Their order is part of the message format only in so far as every one has a key in the
// `after` vector of each message; a new one may be added, none is ever renamed or removed.
const (
	Order        Category = "order"
	Inventory    Category = "inventory"
	Payment      Category = "payment"
	Shipment     Category = "shipment"
	Product      Category = "product"
	Customer     Category = "customer"
	Cart         Category = "cart"
	Notification Category = "notification"
	Account      Category = "account"
	Case         Category = "case"
	Fulfilment   Category = "fulfilment" // the saga of an order
	Return       Category = "return"     // the saga of a return
)

// Snapshot is the category of snapshots: not a registered one, since they are no domain events. Their streams are
// snapshot-<name of the stream>.
const Snapshot Category = "snapshot"

var registered = []Category{Order, Inventory, Payment, Shipment, Product, Customer, Cart, Notification, Account, Case, Fulfilment, Return}

// Categories returns the registered categories.
func Categories() []Category { return slices.Clone(registered) }

// Registered reports whether events of the category are domain events.
func (c Category) Registered() bool { return slices.Contains(registered, c) }

// Protected reports whether a scavenge must leave a stream alone: the audit covers all events of registered categories, so none may be removed.
func Protected(stream string) bool {
	return Stream(stream).Category().Registered() || stream == "$persistentSubscriptionConfig" // whose metadata could otherwise forget groups
}

// Stream returns the name of the category's stream with the id.
func (c Category) Stream(id string) Stream { return Stream(string(c) + "-" + id) }
