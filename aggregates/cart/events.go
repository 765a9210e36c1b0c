package cart

import (
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// Event is what can happen to a cart.
type Event interface{ Type() string }

// Opened opens a cart's stream.
type Opened struct {
	Cart     ID             `json:"cart"`
	Customer string         `json:"customer"`
	Currency money.Currency `json:"currency"`
}

// ItemAdded puts units of a SKU into the cart; more units if it is there already.
type ItemAdded struct {
	Cart     ID     `json:"cart"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"` // added
}

// ItemChanged sets the quantity of a SKU that is in the cart.
type ItemChanged struct {
	Cart     ID     `json:"cart"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"` // new
}

// ItemRemoved takes a SKU out of the cart.
type ItemRemoved struct {
	Cart     ID     `json:"cart"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
}

// CheckedOut ends the cart and carries everything that the order is placed with, so that the order is placed even if
// the process that checked out dies right after.
type CheckedOut struct {
	Cart     ID           `json:"cart"`
	Customer string       `json:"customer"`
	Order    string       `json:"order"`
	Lines    []Line       `json:"lines"`
	Total    money.Amount `json:"total"`
	Country  string       `json:"country"`
	Address  pii.Sealed   `json:"address"`
	Tender   string       `json:"tender"` // the payment method's token at the provider
}

// Line is a line at its price in the catalogue at that moment.
type Line struct {
	SKU             string       `json:"sku"`
	Name            string       `json:"name"`
	Quantity        int64        `json:"quantity"`
	UnitPrice       money.Amount `json:"unitPrice"`
	ProductRevision int64        `json:"productRevision"`
}

// Stored names. Never changed.
const (
	TypeOpened      = "cart.opened.v1"
	TypeItemAdded   = "cart.item-added.v1"
	TypeItemChanged = "cart.item-changed.v1"
	TypeItemRemoved = "cart.item-removed.v1"
	TypeCheckedOut  = "cart.checked-out.v1"
)

// Type returns the stored name.
func (Opened) Type() string { return TypeOpened }

// Type returns the stored name.
func (ItemAdded) Type() string { return TypeItemAdded }

// Type returns the stored name.
func (ItemChanged) Type() string { return TypeItemChanged }

// Type returns the stored name.
func (ItemRemoved) Type() string { return TypeItemRemoved }

// Type returns the stored name.
func (CheckedOut) Type() string { return TypeCheckedOut }
