package model

import (
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/queries"
)

// Receipt says where an accepted change stands.
type Receipt struct{ commands.Receipt }

// Position returns the token to read the change with.
func (r Receipt) Position() queries.Token {
	return queries.Token{Store: r.Store, Position: r.Receipt.Position}
}

// StreamRevision returns the number of the change in its stream.
func (r Receipt) StreamRevision() int64 { return int64(r.Revision) }

// Stream returns the stream's name.
func (r Receipt) Stream() string { return string(r.Receipt.Stream) }

// CommandID returns the id of the command.
func (r Receipt) CommandID() string { return r.Command.String() }

// Outcome is what every payload says: a receipt, or why there is none. Raw is the id of what was changed.
type Outcome struct {
	Raw        string
	Receipt    *Receipt
	UserErrors []UserError
}

// Token returns where the change stands.
func (o Outcome) Token() queries.Token {
	if o.Receipt == nil {
		return queries.Token{}
	}
	return o.Receipt.Position()
}

// Accepted reports whether there is something to be read.
func (o Outcome) Accepted() bool { return o.Receipt != nil }

func (o Outcome) global(typename string) *string {
	if o.Receipt == nil {
		return nil
	}
	id := GlobalID(typename, o.Raw)
	return &id
}

func (o Outcome) sku() *string {
	if o.Receipt == nil {
		return nil
	}
	return &o.Raw
}

// OrderPayload answers the mutations of an order.
type OrderPayload struct{ Outcome }

// OrderID returns the order's global id.
func (p OrderPayload) OrderID() *string { return p.global("Order") }

// CheckOutPayload answers checkOut.
type CheckOutPayload struct{ Outcome }

// OrderID returns the order's global id.
func (p CheckOutPayload) OrderID() *string { return p.global("Order") }

// CartPayload answers the mutations of a cart.
type CartPayload struct{ Outcome }

// CartID returns the cart's global id.
func (p CartPayload) CartID() *string { return p.global("Cart") }

// CustomerPayload answers the mutations of a customer.
type CustomerPayload struct{ Outcome }

// CustomerID returns the customer's global id.
func (p CustomerPayload) CustomerID() *string { return p.global("Customer") }

// ProductPayload answers the mutations of a product.
type ProductPayload struct{ Outcome }

// SKU returns the product's SKU.
func (p ProductPayload) SKU() *string { return p.sku() }

// StockPayload answers the mutations of stock.
type StockPayload struct{ Outcome }

// SKU returns the SKU.
func (p StockPayload) SKU() *string { return p.sku() }
