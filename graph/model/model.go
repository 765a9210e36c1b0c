// Package model is what the schema's types are in Go.
//
// A type that queries has a view of is that view with the schema's names on top: global ids instead of raw ones, enums in
// upper case, null instead of "". What is only of the schema (inputs, connections) gqlgen makes in models_gen.go. Fields that
// need another read are not here but resolvers of graph.
//
// Scalars (scalars.go) and ids (id.go) refuse with faults of kind Invalid, which the API shows as BAD_USER_INPUT. Nothing
// here decides who may see what; that was decided by queries.
package model

import (
	"strings"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/queries"
)

// Node is anything with a global id.
type Node interface{ GetID() string }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func each[A, B any](all []A, f func(A) B) []B {
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = f(a)
	}
	return out
}

// Order is an order.
type Order struct{ queries.OrderView }

// GetID returns the global id.
func (o Order) GetID() string { return GlobalID("Order", o.OrderView.ID) }

// ID returns the global id.
func (o Order) ID() string { return o.GetID() }

// Status returns where the order stands.
func (o Order) Status() OrderStatus { return OrderStatus(strings.ToUpper(o.OrderView.Status)) }

// Priority returns how urgent the order is.
func (o Order) Priority() OrderPriority { return OrderPriority(strings.ToUpper(o.OrderView.Priority)) }

// Address returns where the order goes.
func (o Order) Address() *Address { return addressOf(o.OrderView.Address) }

// Reference returns the order's number in the system it was imported from.
func (o Order) Reference() *string { return optional(o.OrderView.Reference) }

// CancelReason returns why the order was cancelled.
func (o Order) CancelReason() *string { return optional(o.OrderView.CancelReason) }

// Timeline returns what happened.
func (o Order) Timeline() []TimelineEntry {
	return each(o.OrderView.Timeline, func(e queries.TimelineEntry) TimelineEntry { return TimelineEntry{e} })
}

// TimelineEntry is something that happened to an order.
type TimelineEntry struct{ queries.TimelineEntry }

// Note returns a detail.
func (e TimelineEntry) Note() *string { return optional(e.TimelineEntry.Note) }

// Address is a postal address.
type Address struct{ customer.Address }

func addressOf(a *customer.Address) *Address {
	if a == nil {
		return nil
	}
	return &Address{*a}
}

// Lines returns street and number.
func (a Address) Lines() []string {
	if a.Line2 == "" {
		return []string{a.Line1}
	}
	return []string{a.Line1, a.Line2}
}

// Recipient returns who receives it.
func (a Address) Recipient() *string { return optional(a.Address.Recipient) }

// Region returns region, state or county.
func (a Address) Region() *string { return optional(a.Address.Region) }

// PostalCode returns the postal code.
func (a Address) PostalCode() *string { return optional(a.Address.PostalCode) }

// Payment is a payment.
type Payment struct{ queries.PaymentView }

// GetID returns the global id.
func (p Payment) GetID() string { return GlobalID("Payment", p.PaymentView.ID) }

// ID returns the global id.
func (p Payment) ID() string { return p.GetID() }

// DeclineReason returns why the payment was declined or failed.
func (p Payment) DeclineReason() *string { return optional(p.Reason) }

// Shipment is a shipment.
type Shipment struct{ queries.ShipmentView }

// GetID returns the global id.
func (s Shipment) GetID() string { return GlobalID("Shipment", s.ShipmentView.ID) }

// ID returns the global id.
func (s Shipment) ID() string { return s.GetID() }

// Tracking returns the tracking number.
func (s Shipment) Tracking() *string { return optional(s.ShipmentView.Tracking) }

// Product is a product.
type Product struct{ queries.ProductView }

// GetID returns the global id.
func (p Product) GetID() string { return GlobalID("Product", p.SKU) }

// ID returns the global id.
func (p Product) ID() string { return p.GetID() }

// Stock is the stock of a SKU.
type Stock struct{ queries.StockView }

// GetID returns the global id.
func (s Stock) GetID() string { return GlobalID("Stock", s.SKU) }

// ID returns the global id.
func (s Stock) ID() string { return s.GetID() }

// Cart is a cart.
type Cart struct{ queries.CartView }

// GetID returns the global id.
func (c Cart) GetID() string { return GlobalID("Cart", c.CartView.ID) }

// ID returns the global id.
func (c Cart) ID() string { return c.GetID() }

// CustomerID returns whose cart it is.
func (c Cart) CustomerID() string { return c.CartView.Customer }

// Items returns what is in it.
func (c Cart) Items() []CartItem {
	return each(c.CartView.Items, func(i queries.CartItem) CartItem { return CartItem{i} })
}

// CartItem is units of a SKU in a cart.
type CartItem struct{ queries.CartItem }

// Customer is a customer.
type Customer struct{ queries.CustomerView }

// GetID returns the global id.
func (c Customer) GetID() string { return GlobalID("Customer", c.CustomerView.ID) }

// ID returns the global id.
func (c Customer) ID() string { return c.GetID() }

// CustomerID returns the raw id.
func (c Customer) CustomerID() string { return c.CustomerView.ID }

// Country returns the country.
func (c Customer) Country() *string { return optional(c.CustomerView.Country) }

// Tier returns the tier.
func (c Customer) Tier() CustomerTier { return CustomerTier(strings.ToUpper(c.CustomerView.Tier)) }

// Reference returns the customer's number in the system it was imported from.
func (c Customer) Reference() *string { return optional(c.CustomerView.Reference) }

// Addresses returns the address book.
func (c Customer) Addresses() []LabelledAddress {
	return each(c.CustomerView.Addresses, func(a queries.LabelledAddress) LabelledAddress {
		return LabelledAddress{Label: a.Label, Address: addressOf(a.Address)}
	})
}

// Preferences returns over which channels the customer wants to hear from us.
func (c Customer) Preferences() Preferences {
	return Preferences{Mail: c.Mail, Sms: c.SMS, Push: c.Push}
}

// Notification is a message to a customer.
type Notification struct{ queries.NotificationView }

// GetID returns the global id.
func (n Notification) GetID() string { return GlobalID("Notification", n.NotificationView.ID) }

// ID returns the global id.
func (n Notification) ID() string { return n.GetID() }

// MessageID returns the message's id at its provider.
func (n Notification) MessageID() *string { return optional(n.NotificationView.MessageID) }

// Reason returns why the message was not sent.
func (n Notification) Reason() *string { return optional(n.NotificationView.Reason) }

// SalesRow is a sum of sales.
type SalesRow struct{ queries.SalesRow }

// UnitsSold returns the units sold.
func (r SalesRow) UnitsSold() int64 { return r.Units }

// ProjectionStatus is how far a read model is.
type ProjectionStatus struct{ queries.ReadModel }

// Position returns up to where everything is applied.
func (s ProjectionStatus) Position() queries.Token {
	return queries.Token{Store: s.Store, Position: s.ReadModel.Position}
}

// ParkedRows returns how many events wait.
func (s ProjectionStatus) ParkedRows() int64 { return s.Parked }

// Viewer is who asks.
type Viewer struct{ auth.Principal }

// Kind returns what sort of actor it is.
func (v Viewer) Kind() string { return string(v.Principal.Kind) }

// PrincipalID returns the principal's id.
func (v Viewer) PrincipalID() string { return v.Principal.ID }

// Roles returns the roles.
func (v Viewer) Roles() []string {
	return each(v.Principal.Roles, func(r auth.Role) string { return string(r) })
}
