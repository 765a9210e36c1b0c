package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
)

// PaymentView is a payment. Pending names an intent whose outcome is not known: authorise, capture, void or refund.
type PaymentView struct {
	ID, Order, Customer                    string
	Provider, Ref                          string
	Status, Pending                        string
	Amount, Authorised, Captured, Refunded money.Amount
	Refunds                                []Refund
	Code, Reason                           string // of a refusal or failure
	OpenedAt, UpdatedAt                    time.Time
}

// Refund is one refund of a payment.
type Refund struct {
	ID     string
	Amount money.Amount
	Status string // requested, refunded, failed
	Reason string
	Code   string
}

// Payment returns a payment. Faults: ErrNotFound, those of auth.
func (q *Queries) Payment(ctx context.Context, p auth.Principal, id string) (PaymentView, error) {
	return one(q.paymentsBy(ctx, p, "id", []string{id}))
}

// PaymentsByOrder returns the latest payment of each of the orders that the principal may see.
func (q *Queries) PaymentsByOrder(ctx context.Context, p auth.Principal, orders []string) (map[string]PaymentView, error) {
	views, err := q.paymentsBy(ctx, p, "order_id", orders)
	byOrder := make(map[string]PaymentView, len(views))
	for _, v := range views {
		byOrder[v.Order] = v
	}
	return byOrder, err
}

func (q *Queries) paymentsBy(ctx context.Context, p auth.Principal, column string, values []string) ([]PaymentView, error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return nil, err
	}
	rows, err := collect[paymentRow](ctx, q, "SELECT "+paymentColumns+" FROM read.payments WHERE "+column+" = ANY($1) AND ($2 = '' OR customer = $2) ORDER BY position",
		values, owner)
	if err != nil {
		return nil, err
	}
	return paymentViews(ctx, rows)
}

// Payments returns a page of payments, the newest first; status "" is any. Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Payments(ctx context.Context, p auth.Principal, status string, page Page) (Connection[PaymentView], error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return Connection[PaymentView]{}, err
	}
	l := listing{name: "payments", columns: paymentColumns, from: "read.payments", key: []string{"opened_at", "id"},
		types: []string{"timestamptz", "text"}, newest: true}
	if owner != "" {
		l.only("customer = ?", owner)
	}
	if status != "" {
		l.only("status = ?", status)
	}
	return pageOf(ctx, q, l, page, func(r paymentRow) []string { return []string{timeKey(r.OpenedAt), r.ID} }, paymentViews)
}

const paymentColumns = `id, order_id, customer, provider, ref, status, pending, currency, amount, authorised, captured, refunded, refunds,
	code, reason, opened_at, updated_at`

type paymentRow struct {
	ID                                     string
	OrderID                                string
	Customer, Provider, Ref                string
	Status, Pending                        string
	Currency                               money.Currency
	Amount, Authorised, Captured, Refunded int64
	Refunds                                []refundRow
	Code, Reason                           string
	OpenedAt, UpdatedAt                    time.Time
}

type refundRow struct {
	Refund string `json:"refund"`
	Amount int64  `json:"amount"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Code   string `json:"code"`
}

func paymentViews(_ context.Context, rows []paymentRow) ([]PaymentView, error) {
	views := make([]PaymentView, len(rows))
	for i, r := range rows {
		amount := func(minor int64) money.Amount { return money.Of(minor, r.Currency) }
		refunds := make([]Refund, len(r.Refunds))
		for j, f := range r.Refunds {
			refunds[j] = Refund{ID: f.Refund, Amount: amount(f.Amount), Status: f.Status, Reason: f.Reason, Code: f.Code}
		}
		views[i] = PaymentView{ID: r.ID, Order: r.OrderID, Customer: r.Customer, Provider: r.Provider, Ref: r.Ref, Status: r.Status,
			Pending: r.Pending, Amount: amount(r.Amount), Authorised: amount(r.Authorised), Captured: amount(r.Captured),
			Refunded: amount(r.Refunded), Refunds: refunds, Code: r.Code, Reason: r.Reason,
			OpenedAt: r.OpenedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
	}
	return views, nil
}
