package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// orderRow is an order with everything that its page shows. Money is in minor units of Currency.
type orderRow struct {
	Head
	Number          string          `db:"number"`
	Customer        string          `db:"customer"`
	Guest           bool            `db:"guest"`
	Status          string          `db:"status"` // "" until the order itself is known
	Priority        string          `db:"priority"`
	Country         string          `db:"country"`
	Channel         string          `db:"channel"`
	Language        string          `db:"language"`
	Carrier         string          `db:"carrier"`
	Provider        string          `db:"provider"`
	Cart            string          `db:"cart"`
	Reference       string          `db:"reference"`
	Currency        string          `db:"currency"`
	Total           int64           `db:"total"`
	Lines           []orderLine     `db:"lines"`
	SKUs            []string        `db:"skus"` // distinct, for search
	Timeline        []timelineEntry `db:"timeline,without=at"`
	Name            pii.Sealed      `db:"name"`
	Email           pii.Sealed      `db:"email"`
	Address         pii.Sealed      `db:"address"`
	Payment         string          `db:"payment"`
	PaymentStatus   string          `db:"payment_status"`
	Captured        int64           `db:"captured"`
	Refunded        int64           `db:"refunded"`
	Shipment        string          `db:"shipment"`
	ShipmentStatus  string          `db:"shipment_status"`
	Tracking        string          `db:"tracking"`
	Returned        int64           `db:"returned"` // value of what came back
	CancelRequested bool            `db:"cancel_requested"`
	CancelCode      string          `db:"cancel_code"`
	CancelReason    string          `db:"cancel_reason"`
	PlacedAt        time.Time       `db:"placed_at"`
	UpdatedAt       time.Time       `db:"updated_at,volatile"`
}

type orderLine struct {
	Line        int    `json:"line"`
	SKU         string `json:"sku"`
	Name        string `json:"name"`
	Quantity    int64  `json:"quantity"`
	UnitPrice   int64  `json:"unitPrice"`
	PriceReason string `json:"priceReason,omitzero"`
	Returned    int64  `json:"returned"`
}

// timelineEntry is one thing that happened. At is business time; for what our own services do it is the clock's, and so it
// stays out of the digest.
type timelineEntry struct {
	Type string    `json:"type"` // stored name
	At   time.Time `json:"at"`
	By   string    `json:"by"` // "<kind>:<id>"
	Note string    `json:"note,omitzero"`
	Said *said     `json:"said,omitzero"`
}

// said is what a person typed. The digest opens a sealed value by the name of its member, which is the field's.
type said struct {
	Note pii.Sealed `json:"note"`
}

func saidIn(body any) *said {
	note := pii.Sealed{}
	switch b := body.(type) {
	case order.CancelRequested:
		note = b.Note
	case order.Returned:
		note = b.Note
	}
	if note.IsZero() {
		return nil
	}
	return &said{note}
}

func orders() Spec[orderRow] {
	return Spec[orderRow]{
		Name: "orders", Version: 1,
		Categories: []eventstore.Category{eventstore.Order, eventstore.Payment, eventstore.Shipment},
		Ignore: []string{payment.TypeAuthorisationRequested, payment.TypeCaptureRequested, payment.TypeVoidRequested, // intents
			payment.TypeRefundRequested, shipment.TypeRequested, shipment.TypeCancelRequested},
		Keys: func(e Event) []string { return []string{orderOf(e.Body)} },
		Apply: func(r *orderRow, e Event) error {
			note, err := r.apply(e.Body)
			if err != nil {
				return err
			}
			r.UpdatedAt = e.Meta.OccurredAt
			r.Timeline = append(r.Timeline, timelineEntry{Type: e.Type, At: e.Meta.OccurredAt,
				By: e.Meta.Actor.Kind + ":" + e.Meta.Actor.ID, Note: note, Said: saidIn(e.Body)})
			return nil
		},
	}
}

// orderOf returns the order that an event of any context is about, "" if it names none.
func orderOf(body any) string {
	switch b := body.(type) {
	case order.Placed:
		return string(b.Order)
	case order.Confirmed:
		return string(b.Order)
	case order.CancelRequested:
		return string(b.Order)
	case order.Cancelled:
		return string(b.Order)
	case order.Shipped:
		return string(b.Order)
	case order.Delivered:
		return string(b.Order)
	case order.Returned:
		return string(b.Order)
	}
	if of, ok := paymentOf(body); ok {
		return of.Order
	}
	of, _ := shipmentOf(body)
	return of.Order
}

func (r *orderRow) apply(body any) (note string, err error) {
	switch b := body.(type) {
	case order.Placed:
		r.placed(b)
	case order.Confirmed:
		r.Status, r.Payment, r.Shipment = string(order.StatusConfirmed), b.Payment, b.Shipment
	case order.CancelRequested:
		r.CancelRequested = true
		return b.Reason, nil
	case order.Cancelled:
		r.Status, r.CancelCode, r.CancelReason = string(order.StatusCancelled), b.Code, b.Reason
		return b.Code, nil
	case order.Shipped:
		r.Status, r.Tracking = string(order.StatusShipped), orElse(b.Tracking, r.Tracking)
		return b.Tracking, nil
	case order.Delivered:
		r.Status = string(order.StatusDelivered)
	case order.Returned:
		return b.Reason, r.returned(b)
	default:
		if of, ok := paymentOf(body); ok {
			return r.paid(of, body)
		}
		if of, ok := shipmentOf(body); ok {
			return r.shipped(of, body)
		}
		return "", ErrUnhandled
	}
	return "", nil
}

func (r *orderRow) placed(b order.Placed) {
	r.Number, r.Customer, r.Guest, r.Status = b.Number, b.Customer, b.Guest, string(order.StatusPlaced)
	r.Priority, r.Country, r.Channel, r.Language = string(b.Priority), b.Country, b.Channel, b.Language
	r.Carrier, r.Provider, r.Cart, r.Reference = b.Carrier, b.Tender.Provider, b.Cart, b.Reference
	r.Currency, r.Total, r.PlacedAt = string(b.Total.Currency), b.Total.Minor, b.PlacedAt
	r.Name, r.Email, r.Address = b.Name, b.Email, b.Address
	seen := map[string]bool{}
	for _, l := range b.Lines {
		r.Lines = append(r.Lines, orderLine{Line: l.Line, SKU: l.SKU, Name: l.Name, Quantity: l.Quantity,
			UnitPrice: l.UnitPrice.Minor, PriceReason: l.PriceReason})
		if !seen[l.SKU] {
			seen[l.SKU], r.SKUs = true, append(r.SKUs, l.SKU)
		}
	}
}

func (r *orderRow) returned(b order.Returned) (err error) {
	for _, back := range b.Lines {
		for i := range r.Lines {
			if r.Lines[i].Line == back.Line {
				if r.Lines[i].Returned, err = plus(r.Lines[i].Returned, back.Quantity); err != nil {
					return err
				}
			}
		}
	}
	r.Returned, err = plus(r.Returned, b.Amount.Minor)
	return err
}

func (r *orderRow) paid(of payment.Of, body any) (note string, err error) {
	r.Payment = string(of.Payment)
	switch b := body.(type) {
	case payment.Captured:
		r.Captured, err = plus(r.Captured, b.Amount.Minor)
		note = b.Amount.String()
	case payment.Refunded:
		r.Refunded, err = plus(r.Refunded, b.Amount.Minor)
		note = b.Amount.String()
	case payment.Declined:
		note = b.Code
	case payment.Failed:
		note = b.Code
	case payment.RefundFailed:
		note = b.Code
	}
	r.PaymentStatus = paymentStatus(r.PaymentStatus, body, r.Captured, r.Refunded)
	return note, err
}

func (r *orderRow) shipped(of shipment.Of, body any) (note string, err error) {
	r.Shipment = string(of.Shipment)
	switch b := body.(type) {
	case shipment.Dispatched:
		r.Tracking, note = b.Tracking, b.Tracking
	case shipment.Refused:
		note = b.Code
	}
	r.ShipmentStatus = shipmentStatus(r.ShipmentStatus, body)
	return note, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
