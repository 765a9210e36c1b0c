package queries

import (
	"context"
	"time"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
)

// ShipmentView is a parcel. Name and Address are nil unless Person is known.
type ShipmentView struct {
	ID, Order, Customer    string
	Carrier, Country, Ref  string
	Status, Tracking       string
	Person                 PersonState
	Name                   *string
	Address                *customer.Address
	Lines                  []ShipmentLine
	Code, Reason           string // of a refusal or cancellation
	RequestedAt, UpdatedAt time.Time
}

// ShipmentLine is what is in the parcel.
type ShipmentLine struct {
	Line     int    `json:"line"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Shipment returns a shipment. Faults: ErrNotFound, those of auth.
func (q *Queries) Shipment(ctx context.Context, p auth.Principal, id string) (ShipmentView, error) {
	return one(q.shipmentsBy(ctx, p, "id", []string{id}))
}

// ShipmentsByOrder returns the latest shipment of each of the orders that the principal may see.
func (q *Queries) ShipmentsByOrder(ctx context.Context, p auth.Principal, orders []string) (map[string]ShipmentView, error) {
	views, err := q.shipmentsBy(ctx, p, "order_id", orders)
	byOrder := make(map[string]ShipmentView, len(views))
	for _, v := range views {
		byOrder[v.Order] = v
	}
	return byOrder, err
}

func (q *Queries) shipmentsBy(ctx context.Context, p auth.Principal, column string, values []string) ([]ShipmentView, error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return nil, err
	}
	rows, err := collect[shipmentRow](ctx, q, "SELECT "+shipmentColumns+" FROM read.shipments WHERE "+column+" = ANY($1) AND ($2 = '' OR customer = $2) ORDER BY position",
		values, owner)
	if err != nil {
		return nil, err
	}
	return q.shipmentViews(ctx, p, rows)
}

// Shipments returns a page of shipments, the newest first; status "" is any. Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Shipments(ctx context.Context, p auth.Principal, status string, page Page) (Connection[ShipmentView], error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return Connection[ShipmentView]{}, err
	}
	l := listing{name: "shipments", columns: shipmentColumns, from: "read.shipments", key: []string{"requested_at", "id"},
		types: []string{"timestamptz", "text"}, newest: true}
	if owner != "" {
		l.only("customer = ?", owner)
	}
	if status != "" {
		l.only("status = ?", status)
	}
	return pageOf(ctx, q, l, page, func(r shipmentRow) []string { return []string{timeKey(r.RequestedAt), r.ID} },
		func(ctx context.Context, rows []shipmentRow) ([]ShipmentView, error) {
			return q.shipmentViews(ctx, p, rows)
		})
}

const shipmentColumns = `id, order_id, customer, carrier, country, ref, status, tracking, name, address, lines, code, reason, requested_at, updated_at`

type shipmentRow struct {
	ID                     string
	OrderID                string
	Customer, Carrier      string
	Country, Ref           string
	Status, Tracking       string
	Name, Address          *pii.Sealed
	Lines                  []ShipmentLine
	Code, Reason           string
	RequestedAt, UpdatedAt time.Time
}

func (q *Queries) shipmentViews(ctx context.Context, p auth.Principal, rows []shipmentRow) ([]ShipmentView, error) {
	views := make([]ShipmentView, len(rows))
	var o opening
	for i, r := range rows {
		views[i] = ShipmentView{ID: r.ID, Order: r.OrderID, Customer: r.Customer, Carrier: r.Carrier, Country: r.Country, Ref: r.Ref,
			Status: r.Status, Tracking: r.Tracking, Lines: r.Lines, Code: r.Code, Reason: r.Reason, Person: PersonKnown,
			RequestedAt: r.RequestedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
		v := &views[i]
		if !seesPerson(p, r.Customer) {
			v.Person = PersonWithheld
			continue
		}
		o.text(pii.Name, r.Name, &v.Person, &v.Name)
		o.address(r.Address, &v.Person, &v.Address)
	}
	return views, o.run(ctx, q.people)
}
