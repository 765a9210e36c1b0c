package projections

import (
	"strings"
	"time"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/money"
)

// salesRow is what was sold of one SKU on one day to one country in one currency. An order counts once it is confirmed, on the day
// it was placed; cancelled after that, it is taken back there. A return counts on the day of the return. All sums are exact.
type salesRow struct {
	Head
	Day           string `db:"day,date"` // in the shop's time zone
	Country       string `db:"country"`
	Currency      string `db:"currency"`
	SKU           string `db:"sku"`
	Units         int64  `db:"units"`
	Gross         int64  `db:"gross"`
	UnitsReturned int64  `db:"units_returned"`
	Returned      int64  `db:"returned"`
	Net           int64  `db:"net"` // gross - returned
}

func sales(location *time.Location) Spec[salesRow] {
	return Spec[salesRow]{
		Name: "sales", Version: 1,
		Categories: []eventstore.Category{eventstore.Order},
		Ignore:     []string{order.TypePlaced, order.TypeCancelRequested, order.TypeShipped, order.TypeDelivered},
		Keys:       func(e Event) []string { return salesKeys(e.Body, location) },
		Apply: func(r *salesRow, e Event) error {
			r.Day, r.Country, r.Currency, r.SKU = salesKeyParts(r.ID)
			return r.apply(e.Body)
		},
	}
}

// salesKeys: "2010-12-01/GB/GBP/85123A". An order that was never confirmed has no sales to take back.
func salesKeys(body any, location *time.Location) []string {
	var keys []string
	key := func(at time.Time, country string, price money.Amount, sku string) {
		keys = append(keys, strings.Join([]string{at.In(location).Format(time.DateOnly), country, string(price.Currency), sku}, "/"))
	}
	switch b := body.(type) {
	case order.Confirmed:
		for _, l := range b.Lines {
			key(b.PlacedAt, b.Country, l.UnitPrice, l.SKU)
		}
	case order.Cancelled:
		if !b.Confirmed {
			return None()
		}
		for _, l := range b.Lines {
			key(b.PlacedAt, b.Country, l.UnitPrice, l.SKU)
		}
	case order.Returned:
		for _, l := range b.Lines {
			key(b.ReturnedAt, b.Country, l.UnitPrice, l.SKU)
		}
	}
	return keys
}

// salesKeyParts takes a key apart; the SKU, which alone may hold a slash, stands last.
func salesKeyParts(key string) (day, country, currency, sku string) {
	parts := strings.SplitN(key, "/", 4)
	return parts[0], parts[1], parts[2], parts[3]
}

func (r *salesRow) apply(body any) (err error) {
	switch b := body.(type) {
	case order.Confirmed:
		err = r.sold(b.Lines, 1)
	case order.Cancelled:
		err = r.sold(b.Lines, -1)
	case order.Returned:
		err = r.cameBack(b.Lines)
	default:
		return ErrUnhandled
	}
	if err != nil {
		return err
	}
	r.Net, err = plus(r.Gross, -r.Returned)
	return err
}

func (r *salesRow) sold(lines []order.Line, sign int64) (err error) {
	for _, l := range lines {
		if !r.concerns(l.SKU, l.UnitPrice) {
			continue
		}
		amount, failed := worth(sign*l.Quantity, l.UnitPrice)
		if failed != nil {
			return failed
		}
		addTo(&err, &r.Units, sign*l.Quantity)
		addTo(&err, &r.Gross, amount)
	}
	return err
}

func (r *salesRow) cameBack(lines []order.ReturnedLine) (err error) {
	for _, l := range lines {
		if !r.concerns(l.SKU, l.UnitPrice) {
			continue
		}
		amount, failed := worth(l.Quantity, l.UnitPrice)
		if failed != nil {
			return failed
		}
		addTo(&err, &r.UnitsReturned, l.Quantity)
		addTo(&err, &r.Returned, amount)
	}
	return err
}

func (r *salesRow) concerns(sku string, price money.Amount) bool {
	return r.SKU == sku && r.Currency == string(price.Currency)
}
