package product

import "github.com/annalhq/annal/internal/money"

// Event is what can happen to a product.
type Event interface{ Type() string }

// Created opens a product's stream.
type Created struct {
	SKU         SKU          `json:"sku"`
	Name        string       `json:"name"`
	Description string       `json:"description,omitzero"`
	Price       money.Amount `json:"price"` // of one unit
}

// Revised carries the fields that changed; nil means unchanged.
type Revised struct {
	SKU         SKU           `json:"sku"`
	Name        *string       `json:"name,omitempty"`
	Description *string       `json:"description,omitempty"`
	Price       *money.Amount `json:"price,omitempty"`
}

// Discontinued ends the sale; what was ordered before is still delivered.
type Discontinued struct {
	SKU    SKU    `json:"sku"`
	Reason string `json:"reason"`
}

// Stored names. Never changed.
const (
	TypeCreated      = "product.created.v1"
	TypeRevised      = "product.revised.v1"
	TypeDiscontinued = "product.discontinued.v1"
)

// Type returns the stored name.
func (Created) Type() string { return TypeCreated }

// Type returns the stored name.
func (Revised) Type() string { return TypeRevised }

// Type returns the stored name.
func (Discontinued) Type() string { return TypeDiscontinued }
