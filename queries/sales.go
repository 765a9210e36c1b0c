package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// SalesGrouping is what the rows of a sales report are summed by.
type SalesGrouping string

// The groupings. Days and months are in the shop's time zone. SalesTotal is one row a currency, with the key "".
const (
	SalesByDay     SalesGrouping = "day"
	SalesByMonth   SalesGrouping = "month"
	SalesByCountry SalesGrouping = "country"
	SalesBySKU     SalesGrouping = "sku"
	SalesTotal     SalesGrouping = "total"
)

var salesKeys = map[SalesGrouping]string{
	SalesByDay: "day::text", SalesByMonth: "to_char(day, 'YYYY-MM')", SalesByCountry: "country", SalesBySKU: "sku", SalesTotal: "''::text",
}

// SalesQuery selects sales; zero fields select all. Days are "2006-01-02", both inclusive.
type SalesQuery struct {
	By                     SalesGrouping
	From, To               string
	Country, SKU, Currency string
}

// SalesRow is a sum of sales in one currency: exact integers, net is gross minus what came back.
type SalesRow struct {
	Key                  string // the day, month, country or SKU
	Units, UnitsReturned int64
	Gross, Returned, Net money.Amount
}

// ErrSalesQuery refuses a grouping that there is none of, or a day that is none.
var ErrSalesQuery = fault.New(fault.Invalid, "SALES_QUERY_INVALID", "sales are grouped by day, month, country or sku, and days are written like 2026-03-01")

// SalesReport returns a page of sums by key and currency; for who may read reports. Faults: ErrSalesQuery, ErrCursor, ErrPage, those of auth.
func (q *Queries) SalesReport(ctx context.Context, p auth.Principal, s SalesQuery, page Page) (Connection[SalesRow], error) {
	if err := p.Require(auth.ReadReports); err != nil {
		return Connection[SalesRow]{}, err
	}
	key, ok := salesKeys[s.By]
	if !ok {
		return Connection[SalesRow]{}, ErrSalesQuery
	}
	key = "(" + key + `) COLLATE "C"`
	l := listing{name: "sales-" + string(s.By), from: "read.sales", key: []string{key, "currency"}, types: []string{"text", "text"}, group: "1, currency",
		columns: key + ` AS key, currency, sum(units)::bigint AS units, sum(units_returned)::bigint AS units_returned,
			sum(gross)::bigint AS gross, sum(returned)::bigint AS returned, sum(net)::bigint AS net`}
	if err := s.apply(&l); err != nil {
		return Connection[SalesRow]{}, err
	}
	return pageOf(ctx, q, l, page, func(r salesRow) []string { return []string{r.Key, string(r.Currency)} }, each(salesRow.view))
}

func (s SalesQuery) apply(l *listing) error {
	for _, c := range []struct{ condition, value string }{{"day >= ?", s.From}, {"day <= ?", s.To}} {
		if c.value == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, c.value)
		if err != nil {
			return ErrSalesQuery
		}
		l.only(c.condition, day)
	}
	for _, c := range []struct{ condition, value string }{{"country = ?", s.Country}, {"sku = ?", s.SKU}, {"currency = ?", s.Currency}} {
		if c.value != "" {
			l.only(c.condition, c.value)
		}
	}
	return nil
}

type salesRow struct {
	Key                  string
	Currency             money.Currency
	Units, UnitsReturned int64
	Gross, Returned, Net int64
}

func (r salesRow) view() SalesRow {
	return SalesRow{Key: r.Key, Units: r.Units, UnitsReturned: r.UnitsReturned, Gross: money.Of(r.Gross, r.Currency),
		Returned: money.Of(r.Returned, r.Currency), Net: money.Of(r.Net, r.Currency)}
}
