package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
)

// productRow is a product of the catalogue; its id is the SKU.
type productRow struct {
	Head
	Name        string    `db:"name"`
	Description string    `db:"description"`
	Currency    string    `db:"currency"`
	Price       int64     `db:"price"` // of one unit, minor units
	OnSale      bool      `db:"on_sale"`
	Reason      string    `db:"reason"` // why it was discontinued
	CreatedAt   time.Time `db:"created_at,volatile"`
	UpdatedAt   time.Time `db:"updated_at,volatile"`
}

func products() Spec[productRow] {
	return Spec[productRow]{
		Name: "products", Version: 1,
		Categories: []eventstore.Category{eventstore.Product},
		Keys: func(e Event) []string {
			switch b := e.Body.(type) {
			case product.Created:
				return []string{string(b.SKU)}
			case product.Revised:
				return []string{string(b.SKU)}
			case product.Discontinued:
				return []string{string(b.SKU)}
			}
			return nil
		},
		Apply: func(r *productRow, e Event) error {
			r.UpdatedAt = e.Meta.OccurredAt
			switch b := e.Body.(type) {
			case product.Created:
				r.CreatedAt, r.OnSale = e.Meta.OccurredAt, true
				r.Name, r.Description, r.Currency, r.Price = b.Name, b.Description, string(b.Price.Currency), b.Price.Minor
			case product.Revised:
				r.revised(b)
			case product.Discontinued:
				r.OnSale, r.Reason = false, b.Reason
			default:
				return ErrUnhandled
			}
			return nil
		},
	}
}

func (r *productRow) revised(b product.Revised) {
	if b.Name != nil {
		r.Name = *b.Name
	}
	if b.Description != nil {
		r.Description = *b.Description
	}
	if b.Price != nil {
		r.Currency, r.Price = string(b.Price.Currency), b.Price.Minor
	}
}
