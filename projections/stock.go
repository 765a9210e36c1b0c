package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
)

// stockRow is the stock of one SKU. The totals let invariant 28 be checked with one query:
// received + returned + counted = on_hand + shipped + written_off.
type stockRow struct {
	Head
	OnHand     int64     `db:"on_hand"`
	Reserved   int64     `db:"reserved"`
	Available  int64     `db:"available"` // on_hand - reserved
	Threshold  int64     `db:"threshold"` // 0: never low
	Low        bool      `db:"low"`
	Received   int64     `db:"received"`
	Shipped    int64     `db:"shipped"`
	Returned   int64     `db:"returned"`
	Counted    int64     `db:"counted"`
	WrittenOff int64     `db:"written_off"`
	UpdatedAt  time.Time `db:"updated_at,volatile"`
}

func stock() Spec[stockRow] {
	return Spec[stockRow]{
		Name: "stock", Version: 1,
		Categories: []eventstore.Category{eventstore.Inventory},
		Ignore:     []string{inventory.TypeWentLow}, // follows from the numbers
		Keys:       func(e Event) []string { return []string{skuOf(e.Body)} },
		Apply: func(r *stockRow, e Event) error {
			r.UpdatedAt = e.Meta.OccurredAt
			if err := r.apply(e.Body); err != nil {
				return err
			}
			r.Available = r.OnHand - r.Reserved
			r.Low = r.Threshold > 0 && r.Available <= r.Threshold
			return nil
		},
	}
}

func skuOf(body any) string {
	switch b := body.(type) {
	case inventory.Received:
		return string(b.SKU)
	case inventory.Reserved:
		return string(b.SKU)
	case inventory.Released:
		return string(b.SKU)
	case inventory.Shipped:
		return string(b.SKU)
	case inventory.Returned:
		return string(b.SKU)
	case inventory.Adjusted:
		return string(b.SKU)
	case inventory.ThresholdSet:
		return string(b.SKU)
	}
	return ""
}

func (r *stockRow) apply(body any) (err error) {
	switch b := body.(type) {
	case inventory.Received:
		addTo(&err, &r.OnHand, b.Quantity)
		addTo(&err, &r.Received, b.Quantity)
	case inventory.Reserved:
		addTo(&err, &r.Reserved, b.Quantity)
	case inventory.Released:
		addTo(&err, &r.Reserved, -b.Quantity)
	case inventory.Shipped:
		addTo(&err, &r.OnHand, -b.Quantity)
		addTo(&err, &r.Reserved, -b.Quantity)
		addTo(&err, &r.Shipped, b.Quantity)
	case inventory.Returned:
		addTo(&err, &r.OnHand, b.Quantity)
		addTo(&err, &r.Returned, b.Quantity)
	case inventory.Adjusted:
		addTo(&err, &r.OnHand, b.Delta)
		if b.Cause == inventory.WriteOff {
			addTo(&err, &r.WrittenOff, -b.Delta)
		} else {
			addTo(&err, &r.Counted, b.Delta)
		}
	case inventory.ThresholdSet:
		r.Threshold = b.Threshold
	default:
		return ErrUnhandled
	}
	return err
}
