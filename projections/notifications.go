package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/notification"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// notificationRow is something told to somebody over one channel.
type notificationRow struct {
	Head
	Order       string            `db:"order_id"`
	Customer    string            `db:"customer"`
	Channel     string            `db:"channel"`
	Template    string            `db:"template"`
	Language    string            `db:"language"`
	To          pii.Sealed        `db:"recipient"`
	Data        map[string]string `db:"data"`
	Status      string            `db:"status"`
	MessageID   string            `db:"message_id"`
	Code        string            `db:"code"`
	Reason      string            `db:"reason"`
	RequestedAt time.Time         `db:"requested_at,volatile"`
	UpdatedAt   time.Time         `db:"updated_at,volatile"`
}

func notifications() Spec[notificationRow] {
	return Spec[notificationRow]{
		Name: "notifications", Version: 1,
		Categories: []eventstore.Category{eventstore.Notification},
		Keys: func(e Event) []string {
			of, _ := notificationOf(e.Body)
			return []string{string(of.Notification)}
		},
		Apply: func(r *notificationRow, e Event) error {
			of, ok := notificationOf(e.Body)
			if !ok {
				return ErrUnhandled
			}
			if r.Events == 0 {
				r.RequestedAt = e.Meta.OccurredAt
			}
			r.Order, r.Customer, r.UpdatedAt = of.Order, of.Customer, e.Meta.OccurredAt
			r.apply(e.Body)
			return nil
		},
	}
}

func notificationOf(body any) (notification.Of, bool) {
	switch b := body.(type) {
	case notification.Requested:
		return b.Of, true
	case notification.Sent:
		return b.Of, true
	case notification.Failed:
		return b.Of, true
	case notification.Suppressed:
		return b.Of, true
	}
	return notification.Of{}, false
}

func (r *notificationRow) apply(body any) {
	switch b := body.(type) {
	case notification.Requested:
		r.Status, r.Channel, r.Template, r.Language = "requested", string(b.Channel), b.Template, b.Language
		r.To, r.Data = b.To, b.Data
	case notification.Sent:
		r.Status, r.Channel, r.MessageID = "sent", string(b.Channel), b.MessageID
	case notification.Failed:
		r.Status, r.Channel, r.Code, r.Reason = "failed", string(b.Channel), b.Code, b.Reason
	case notification.Suppressed:
		r.Status, r.Channel, r.Reason = "suppressed", string(b.Channel), b.Reason
	}
}

// fieldOf: a mail's recipient was sealed as an e-mail, any other's as a phone.
func (r *notificationRow) fieldOf(string) pii.Field {
	if r.Channel == string(notification.Mail) {
		return pii.Email
	}
	return pii.Phone
}
