package projections

import (
	"slices"
	"time"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/eventstore"
)

// cartRow is a cart. Prices are known once it is checked out; before, they are the catalogue's.
type cartRow struct {
	Head
	Customer  string     `db:"customer"`
	Status    string     `db:"status"` // "open", "checked-out"
	Currency  string     `db:"currency"`
	Items     []cartItem `db:"items"` // in the order in which they were first added
	Order     string     `db:"order_id"`
	Total     int64      `db:"total"`
	OpenedAt  time.Time  `db:"opened_at,volatile"`
	UpdatedAt time.Time  `db:"updated_at,volatile"`
}

type cartItem struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	Name      string `json:"name,omitzero"`
	UnitPrice int64  `json:"unitPrice,omitzero"`
}

func carts() Spec[cartRow] {
	return Spec[cartRow]{
		Name: "carts", Version: 1,
		Categories: []eventstore.Category{eventstore.Cart},
		Keys:       func(e Event) []string { return []string{cartOf(e.Body)} },
		Apply: func(r *cartRow, e Event) error {
			if r.Events == 0 {
				r.OpenedAt = e.Meta.OccurredAt
			}
			r.UpdatedAt = e.Meta.OccurredAt
			return r.apply(e.Body)
		},
	}
}

func cartOf(body any) string {
	switch b := body.(type) {
	case cart.Opened:
		return string(b.Cart)
	case cart.ItemAdded:
		return string(b.Cart)
	case cart.ItemChanged:
		return string(b.Cart)
	case cart.ItemRemoved:
		return string(b.Cart)
	case cart.CheckedOut:
		return string(b.Cart)
	}
	return ""
}

func (r *cartRow) apply(body any) error {
	switch b := body.(type) {
	case cart.Opened:
		r.Customer, r.Status, r.Currency = b.Customer, "open", string(b.Currency)
	case cart.ItemAdded:
		sum, err := plus(r.item(b.SKU).Quantity, b.Quantity)
		r.item(b.SKU).Quantity = sum
		return err
	case cart.ItemChanged:
		if slices.ContainsFunc(r.Items, func(i cartItem) bool { return i.SKU == b.SKU }) {
			r.item(b.SKU).Quantity = b.Quantity
		}
	case cart.ItemRemoved:
		r.Items = slices.DeleteFunc(r.Items, func(i cartItem) bool { return i.SKU == b.SKU })
		if len(r.Items) == 0 {
			r.Items = nil // the same as never to have had one
		}
	case cart.CheckedOut:
		r.Status, r.Order, r.Total, r.Currency = "checked-out", b.Order, b.Total.Minor, string(b.Total.Currency)
		r.Items = make([]cartItem, len(b.Lines))
		for i, l := range b.Lines {
			r.Items[i] = cartItem{SKU: l.SKU, Quantity: l.Quantity, Name: l.Name, UnitPrice: l.UnitPrice.Minor}
		}
	default:
		return ErrUnhandled
	}
	return nil
}

// item returns the item with the SKU, a new one if there is none.
func (r *cartRow) item(sku string) *cartItem {
	for i := range r.Items {
		if r.Items[i].SKU == sku {
			return &r.Items[i]
		}
	}
	r.Items = append(r.Items, cartItem{SKU: sku})
	return &r.Items[len(r.Items)-1]
}
