package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
)

// CartView is a cart. Order, Total and the items' names and prices are there once it is checked out; before, a price is the
// catalogue's (ProductsBySKU).
type CartView struct {
	ID, Customer        string
	Status              string // open, checked-out
	Currency            money.Currency
	Items               []CartItem
	Order               string
	Total               money.Amount
	OpenedAt, UpdatedAt time.Time
}

// CartItem is units of a SKU.
type CartItem struct {
	SKU, Name string
	Quantity  int64
	UnitPrice money.Amount
}

// Cart returns a cart: one's own, or any for staff. Faults: ErrNotFound, those of auth.
func (q *Queries) Cart(ctx context.Context, p auth.Principal, id string) (CartView, error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return CartView{}, err
	}
	rows, err := collect[cartRow](ctx, q, "SELECT "+cartColumns+" FROM read.carts WHERE id = $1 AND ($2 = '' OR customer = $2)", id, owner)
	r, err := one(rows, err)
	return r.view(), err
}

// Carts returns a page of a customer's carts, the newest first. Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Carts(ctx context.Context, p auth.Principal, customer string, page Page) (Connection[CartView], error) {
	if err := p.Owns(customer, auth.ReadOrders); err != nil {
		return Connection[CartView]{}, err
	}
	l := listing{name: "carts", columns: cartColumns, from: "read.carts", key: []string{"opened_at", "id"},
		types: []string{"timestamptz", "text"}, newest: true}
	l.only("customer = ?", customer)
	return pageOf(ctx, q, l, page, func(r cartRow) []string { return []string{timeKey(r.OpenedAt), r.ID} }, each(cartRow.view))
}

const cartColumns = `id, customer, status, currency, items, order_id, total, opened_at, updated_at`

type cartRow struct {
	ID, Customer, Status string
	Currency             money.Currency
	Items                []cartItemRow
	OrderID              string
	Total                int64
	OpenedAt, UpdatedAt  time.Time
}

type cartItemRow struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	Name      string `json:"name"`
	UnitPrice int64  `json:"unitPrice"`
}

func (r cartRow) view() CartView {
	items := make([]CartItem, len(r.Items))
	for i, item := range r.Items {
		items[i] = CartItem{SKU: item.SKU, Name: item.Name, Quantity: item.Quantity, UnitPrice: money.Of(item.UnitPrice, r.Currency)}
	}
	return CartView{ID: r.ID, Customer: r.Customer, Status: r.Status, Currency: r.Currency, Items: items, Order: r.OrderID,
		Total: money.Of(r.Total, r.Currency), OpenedAt: r.OpenedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}
