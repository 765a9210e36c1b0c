package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/auth"
)

// StockView is the stock of one SKU, in units. Received + Returned + Counted = OnHand + Shipped + WrittenOff.
type StockView struct {
	SKU                                              string
	OnHand, Reserved, Available, Threshold           int64
	Low                                              bool
	Received, Shipped, Returned, Counted, WrittenOff int64
	UpdatedAt                                        time.Time
}

// Stock returns the stock of a SKU. Faults: ErrNotFound, those of auth.
func (q *Queries) Stock(ctx context.Context, p auth.Principal, sku string) (StockView, error) {
	found, err := q.StockBySKU(ctx, p, []string{sku})
	if err != nil {
		return StockView{}, err
	}
	if v, ok := found[sku]; ok {
		return v, nil
	}
	return StockView{}, ErrNotFound
}

// StockBySKU returns the stock of those of the SKUs that have any.
func (q *Queries) StockBySKU(ctx context.Context, p auth.Principal, skus []string) (map[string]StockView, error) {
	if err := p.Require(auth.ReadStock); err != nil {
		return nil, err
	}
	rows, err := collect[stockRow](ctx, q, "SELECT "+stockColumns+" FROM read.stock WHERE id = ANY($1)", skus)
	found := make(map[string]StockView, len(rows))
	for _, r := range rows {
		found[r.ID] = r.view()
	}
	return found, err
}

// Stocks returns a page of stock by SKU; onlyLow leaves out what is not low. Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Stocks(ctx context.Context, p auth.Principal, onlyLow bool, page Page) (Connection[StockView], error) {
	if err := p.Require(auth.ReadStock); err != nil {
		return Connection[StockView]{}, err
	}
	l := listing{name: "stock", columns: stockColumns, from: "read.stock", key: []string{"id"}, types: []string{"text"}}
	if onlyLow {
		l.where = append(l.where, "low")
	}
	return pageOf(ctx, q, l, page, func(r stockRow) []string { return []string{r.ID} }, each(stockRow.view))
}

const stockColumns = `id, on_hand, reserved, available, threshold, low, received, shipped, returned, counted, written_off, updated_at`

type stockRow struct {
	ID                                               string
	OnHand, Reserved, Available, Threshold           int64
	Low                                              bool
	Received, Shipped, Returned, Counted, WrittenOff int64
	UpdatedAt                                        time.Time
}

func (r stockRow) view() StockView {
	return StockView{SKU: r.ID, OnHand: r.OnHand, Reserved: r.Reserved, Available: r.Available, Threshold: r.Threshold, Low: r.Low,
		Received: r.Received, Shipped: r.Shipped, Returned: r.Returned, Counted: r.Counted, WrittenOff: r.WrittenOff, UpdatedAt: r.UpdatedAt.UTC()}
}
