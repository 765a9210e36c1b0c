package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/eventstore"
)

// paymentRow is a payment. Pending names the intent whose outcome is not known yet.
type paymentRow struct {
	Head
	Order      string      `db:"order_id"`
	Customer   string      `db:"customer"`
	Provider   string      `db:"provider"`
	Ref        string      `db:"ref"`
	Status     string      `db:"status"`
	Pending    string      `db:"pending"` // "", "authorise", "capture", "void", "refund"
	Currency   string      `db:"currency"`
	Amount     int64       `db:"amount"`
	Authorised int64       `db:"authorised"`
	Captured   int64       `db:"captured"`
	Refunded   int64       `db:"refunded"`
	Refunds    []refundRow `db:"refunds"`
	Code       string      `db:"code"` // of a refusal or failure
	Reason     string      `db:"reason"`
	OpenedAt   time.Time   `db:"opened_at,volatile"`
	UpdatedAt  time.Time   `db:"updated_at,volatile"`
}

type refundRow struct {
	Refund string `json:"refund"`
	Amount int64  `json:"amount"`
	Status string `json:"status"` // "requested", "refunded", "failed"
	Reason string `json:"reason,omitzero"`
	Code   string `json:"code,omitzero"`
}

func payments() Spec[paymentRow] {
	return Spec[paymentRow]{
		Name: "payments", Version: 1,
		Categories: []eventstore.Category{eventstore.Payment},
		Keys: func(e Event) []string {
			of, _ := paymentOf(e.Body)
			return []string{string(of.Payment)}
		},
		Apply: func(r *paymentRow, e Event) error {
			of, ok := paymentOf(e.Body)
			if !ok {
				return ErrUnhandled
			}
			if r.Events == 0 {
				r.OpenedAt = e.Meta.OccurredAt
			}
			r.Order, r.Customer, r.UpdatedAt = of.Order, of.Customer, e.Meta.OccurredAt
			if err := r.apply(e.Body); err != nil {
				return err
			}
			r.Status = paymentStatus(r.Status, e.Body, r.Captured, r.Refunded)
			return nil
		},
	}
}

func (r *paymentRow) apply(body any) (err error) {
	pending := ""
	switch b := body.(type) {
	case payment.Opened:
		r.Amount, r.Currency, r.Provider, r.Ref = b.Amount.Minor, string(b.Amount.Currency), b.Provider, b.Ref
	case payment.AuthorisationRequested:
		pending = "authorise"
	case payment.Authorised:
		r.Authorised = b.Amount.Minor
	case payment.Declined:
		r.Code, r.Reason = b.Code, b.Reason
	case payment.CaptureRequested:
		pending = "capture"
	case payment.Captured:
		r.Captured, err = plus(r.Captured, b.Amount.Minor)
	case payment.VoidRequested:
		pending = "void"
	case payment.Voided:
		r.Authorised, r.Reason = 0, b.Reason
	case payment.RefundRequested:
		pending = "refund"
		r.refund(b.Refund).Amount, r.refund(b.Refund).Reason = b.Amount.Minor, b.Reason
	case payment.Refunded:
		r.refund(b.Refund).Amount, r.refund(b.Refund).Status = b.Amount.Minor, "refunded"
		r.Refunded, err = plus(r.Refunded, b.Amount.Minor)
	case payment.RefundFailed:
		r.refund(b.Refund).Status, r.refund(b.Refund).Code = "failed", b.Code
	case payment.Failed:
		r.Code, r.Reason = b.Code, b.Reason
	}
	r.Pending = pending
	return err
}

// refund returns the refund of that id, a new one if there is none.
func (r *paymentRow) refund(id string) *refundRow {
	for i := range r.Refunds {
		if r.Refunds[i].Refund == id {
			return &r.Refunds[i]
		}
	}
	r.Refunds = append(r.Refunds, refundRow{Refund: id, Status: "requested"})
	return &r.Refunds[len(r.Refunds)-1]
}

// paymentOf returns whose payment an event is about.
func paymentOf(body any) (payment.Of, bool) {
	switch b := body.(type) {
	case payment.Opened:
		return b.Of, true
	case payment.AuthorisationRequested:
		return b.Of, true
	case payment.Authorised:
		return b.Of, true
	case payment.Declined:
		return b.Of, true
	case payment.CaptureRequested:
		return b.Of, true
	case payment.Captured:
		return b.Of, true
	case payment.VoidRequested:
		return b.Of, true
	case payment.Voided:
		return b.Of, true
	case payment.RefundRequested:
		return b.Of, true
	case payment.Refunded:
		return b.Of, true
	case payment.RefundFailed:
		return b.Of, true
	case payment.Failed:
		return b.Of, true
	}
	return payment.Of{}, false
}

// paymentStatus returns where a payment stands after the event; intents don't move it.
func paymentStatus(before string, body any, captured, refunded int64) string {
	switch body.(type) {
	case payment.Opened:
		return "opened"
	case payment.Authorised:
		return "authorised"
	case payment.Declined:
		return "declined"
	case payment.Captured:
		return "captured"
	case payment.Voided:
		return "voided"
	case payment.Failed:
		return "failed"
	case payment.Refunded:
		if refunded >= captured {
			return "refunded"
		}
	}
	return before
}
