package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// shipmentRow is a parcel.
type shipmentRow struct {
	Head
	Order       string         `db:"order_id"`
	Customer    string         `db:"customer"`
	Carrier     string         `db:"carrier"`
	Country     string         `db:"country"`
	Ref         string         `db:"ref"`
	Status      string         `db:"status"`
	Tracking    string         `db:"tracking"`
	Name        pii.Sealed     `db:"name"`
	Address     pii.Sealed     `db:"address"`
	Lines       []shipmentLine `db:"lines"`
	Code        string         `db:"code"` // of a refusal
	Reason      string         `db:"reason"`
	RequestedAt time.Time      `db:"requested_at,volatile"`
	UpdatedAt   time.Time      `db:"updated_at,volatile"`
}

type shipmentLine struct {
	Line     int    `json:"line"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

func shipments() Spec[shipmentRow] {
	return Spec[shipmentRow]{
		Name: "shipments", Version: 1,
		Categories: []eventstore.Category{eventstore.Shipment},
		Keys: func(e Event) []string {
			of, _ := shipmentOf(e.Body)
			return []string{string(of.Shipment)}
		},
		Apply: func(r *shipmentRow, e Event) error {
			of, ok := shipmentOf(e.Body)
			if !ok {
				return ErrUnhandled
			}
			if r.Events == 0 {
				r.RequestedAt = e.Meta.OccurredAt
			}
			r.Order, r.Customer, r.UpdatedAt = of.Order, of.Customer, e.Meta.OccurredAt
			r.Status = shipmentStatus(r.Status, e.Body)
			r.apply(e.Body)
			return nil
		},
	}
}

func (r *shipmentRow) apply(body any) {
	switch b := body.(type) {
	case shipment.Requested:
		r.Carrier, r.Country, r.Name, r.Address = b.Carrier, b.Country, b.Name, b.Address
		for _, l := range b.Lines {
			r.Lines = append(r.Lines, shipmentLine{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity})
		}
	case shipment.Scheduled:
		r.Carrier, r.Ref = orElse(b.Carrier, r.Carrier), b.Ref
	case shipment.Refused:
		r.Code, r.Reason = b.Code, b.Reason
	case shipment.Dispatched:
		r.Tracking = b.Tracking
	case shipment.CancelRequested:
		r.Reason = b.Reason
	case shipment.Cancelled:
		r.Reason = b.Reason
	}
}

// shipmentOf returns whose shipment an event is about.
func shipmentOf(body any) (shipment.Of, bool) {
	switch b := body.(type) {
	case shipment.Requested:
		return b.Of, true
	case shipment.Scheduled:
		return b.Of, true
	case shipment.Refused:
		return b.Of, true
	case shipment.Dispatched:
		return b.Of, true
	case shipment.Delivered:
		return b.Of, true
	case shipment.CancelRequested:
		return b.Of, true
	case shipment.Cancelled:
		return b.Of, true
	}
	return shipment.Of{}, false
}

// shipmentStatus returns where a shipment stands after the event.
func shipmentStatus(before string, body any) string {
	switch body.(type) {
	case shipment.Requested:
		return "requested"
	case shipment.Scheduled:
		return "scheduled"
	case shipment.Refused:
		return "refused"
	case shipment.Dispatched:
		return "dispatched"
	case shipment.Delivered:
		return "delivered"
	case shipment.Cancelled:
		return "cancelled"
	}
	return before
}
