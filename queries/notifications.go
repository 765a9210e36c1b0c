package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
)

// NotificationView is something told to somebody. To is nil unless Person is known.
type NotificationView struct {
	ID, Order, Customer    string
	Channel, Template      string
	Language               string
	Person                 PersonState
	To                     *string
	Data                   map[string]string
	Status, MessageID      string
	Code, Reason           string // why it was not sent
	RequestedAt, UpdatedAt time.Time
}

// Notification returns a notification. Faults: ErrNotFound, those of auth.
func (q *Queries) Notification(ctx context.Context, p auth.Principal, id string) (NotificationView, error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return NotificationView{}, err
	}
	rows, err := collect[notificationRow](ctx, q, "SELECT "+notificationColumns+" FROM read.notifications WHERE id = $1 AND ($2 = '' OR customer = $2)", id, owner)
	if err != nil {
		return NotificationView{}, err
	}
	return one(q.notificationViews(ctx, p, rows))
}

// Notifications returns a page of notifications, the newest first: about an order, or with "" about all that the principal may see.
// Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Notifications(ctx context.Context, p auth.Principal, order string, page Page) (Connection[NotificationView], error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return Connection[NotificationView]{}, err
	}
	l := listing{name: "notifications", columns: notificationColumns, from: "read.notifications", key: []string{"requested_at", "id"},
		types: []string{"timestamptz", "text"}, newest: true}
	if order != "" {
		l.only("order_id <> '' AND order_id = ?", order)
	}
	if owner != "" {
		l.only("customer = ?", owner)
	}
	return pageOf(ctx, q, l, page, func(r notificationRow) []string { return []string{timeKey(r.RequestedAt), r.ID} },
		func(ctx context.Context, rows []notificationRow) ([]NotificationView, error) {
			return q.notificationViews(ctx, p, rows)
		})
}

const notificationColumns = `id, order_id, customer, channel, template, language, recipient, data, status, message_id, code, reason, requested_at, updated_at`

type notificationRow struct {
	ID                     string
	OrderID, Customer      string
	Channel, Template      string
	Language               string
	Recipient              *pii.Sealed
	Data                   map[string]string
	Status, MessageID      string
	Code, Reason           string
	RequestedAt, UpdatedAt time.Time
}

func (q *Queries) notificationViews(ctx context.Context, p auth.Principal, rows []notificationRow) ([]NotificationView, error) {
	views := make([]NotificationView, len(rows))
	var o opening
	for i, r := range rows {
		views[i] = NotificationView{ID: r.ID, Order: r.OrderID, Customer: r.Customer, Channel: r.Channel, Template: r.Template,
			Language: r.Language, Person: PersonKnown, Data: r.Data, Status: r.Status, MessageID: r.MessageID, Code: r.Code, Reason: r.Reason,
			RequestedAt: r.RequestedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
		v := &views[i]
		if p.Owns(r.Customer, auth.ReadPeople) != nil {
			v.Person = PersonWithheld
			continue
		}
		o.text(recipientField(r.Channel), r.Recipient, &v.Person, &v.To)
	}
	return views, o.run(ctx, q.people)
}

// recipientField is the field that a recipient was sealed as: commands seals a mail's as an e-mail, any other's as a phone.
func recipientField(channel string) pii.Field {
	if channel == "mail" {
		return pii.Email
	}
	return pii.Phone
}
