package queries

import (
	"context"
	"strings"
	"time"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
)

// ProductView is a product of the catalogue, which everybody may see.
type ProductView struct {
	SKU, Name, Description string
	Price                  money.Amount
	OnSale                 bool
	Reason                 string // why it was discontinued
	CreatedAt, UpdatedAt   time.Time
}

// ProductFilter selects products; zero fields select all.
type ProductFilter struct {
	OnSale *bool
	Name   string // contained in the name, in whatever case
}

// Product returns a product. Fault: ErrNotFound.
func (q *Queries) Product(ctx context.Context, p auth.Principal, sku string) (ProductView, error) {
	found, err := q.ProductsBySKU(ctx, p, []string{sku})
	if err != nil {
		return ProductView{}, err
	}
	if v, ok := found[sku]; ok {
		return v, nil
	}
	return ProductView{}, ErrNotFound
}

// ProductsBySKU returns those of the products that exist.
func (q *Queries) ProductsBySKU(ctx context.Context, _ auth.Principal, skus []string) (map[string]ProductView, error) {
	rows, err := collect[productRow](ctx, q, "SELECT "+productColumns+" FROM read.products WHERE id = ANY($1)", skus)
	found := make(map[string]ProductView, len(rows))
	for _, r := range rows {
		found[r.ID] = r.view()
	}
	return found, err
}

// Products returns a page of the catalogue by SKU. Faults: ErrCursor, ErrPage.
func (q *Queries) Products(ctx context.Context, _ auth.Principal, f ProductFilter, page Page) (Connection[ProductView], error) {
	l := listing{name: "products", columns: productColumns, from: "read.products", key: []string{"id"}, types: []string{"text"}}
	if f.OnSale != nil {
		l.only("on_sale = ?", *f.OnSale)
	}
	if f.Name != "" {
		l.only("strpos(lower(name), ?) > 0", strings.ToLower(f.Name))
	}
	return pageOf(ctx, q, l, page, func(r productRow) []string { return []string{r.ID} }, each(productRow.view))
}

const productColumns = `id, name, description, currency, price, on_sale, reason, created_at, updated_at`

type productRow struct {
	ID, Name, Description string
	Currency              money.Currency
	Price                 int64
	OnSale                bool
	Reason                string
	CreatedAt, UpdatedAt  time.Time
}

func (r productRow) view() ProductView {
	return ProductView{SKU: r.ID, Name: r.Name, Description: r.Description, Price: money.Of(r.Price, r.Currency), OnSale: r.OnSale,
		Reason: r.Reason, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

// each lifts a conversion of one row to one of a page.
func each[Row, T any](view func(Row) T) func(context.Context, []Row) ([]T, error) {
	return func(_ context.Context, rows []Row) ([]T, error) {
		views := make([]T, len(rows))
		for i, r := range rows {
			views[i] = view(r)
		}
		return views, nil
	}
}
