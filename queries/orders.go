package queries

import (
	"context"
	"strings"
	"time"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// OrderView is an order as its reader sees it. Name, Email and Address are nil unless Person is known.
type OrderView struct {
	ID, Number, Customer       string
	Guest                      bool
	Status, Priority           string
	Country, Channel, Language string
	Reference, Cart            string
	Carrier, Provider          string
	Person                     PersonState
	Name, Email                *string
	Address                    *customer.Address
	Lines                      []OrderLine
	Total, Captured, Refunded  money.Amount
	Returned                   money.Amount // worth of what came back
	PaymentID, PaymentStatus   string
	ShipmentID, ShipmentStatus string
	Tracking                   string
	CancelRequested            bool
	CancelCode, CancelReason   string
	Timeline                   []TimelineEntry
	PlacedAt, UpdatedAt        time.Time
}

// OrderLine is one line of an order.
type OrderLine struct {
	Line        int
	SKU, Name   string
	Quantity    int64
	Returned    int64 // units that came back
	UnitPrice   money.Amount
	PriceReason string // why the price is not the catalogue's
}

// Total returns quantity times unit price.
func (l OrderLine) Total() (money.Amount, error) { return l.UnitPrice.Times(l.Quantity) }

// TimelineEntry is one thing that happened to an order.
type TimelineEntry struct {
	Type string    `json:"type"` // the event's stored name
	At   time.Time `json:"at"`   // business time
	By   string    `json:"by"`   // "<kind>:<id>"
	Note string    `json:"note"` // a detail; what a person typed, to who may read it
}

// A timelineRow is an entry as the read model has it: beside it, sealed, what a person typed.
type timelineRow struct {
	TimelineEntry
	Said *struct {
		Note pii.Sealed `json:"note"`
	} `json:"said"`
}

// OrderFilter selects orders; zero fields select all.
type OrderFilter struct {
	Customer, Status, SKU, Number, Reference, Country string
	PlacedFrom, PlacedTo                              time.Time // from inclusive, to exclusive
}

// Order returns an order. Faults: ErrNotFound, those of auth and Wait.
func (q *Queries) Order(ctx context.Context, p auth.Principal, id string) (OrderView, error) {
	orders, err := q.OrdersByID(ctx, p, []string{id})
	if err != nil {
		return OrderView{}, err
	}
	if o, ok := orders[id]; ok {
		return o, nil
	}
	return OrderView{}, ErrNotFound
}

// OrdersByID returns those of the orders that the principal may see.
func (q *Queries) OrdersByID(ctx context.Context, p auth.Principal, ids []string) (map[string]OrderView, error) {
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return nil, err
	}
	rows, err := collect[orderRow](ctx, q, "SELECT "+orderColumns+" FROM read.orders WHERE id = ANY($1) AND status <> '' AND ($2 = '' OR customer = $2)", ids, owner)
	if err != nil {
		return nil, err
	}
	views, err := q.orderViews(ctx, p, rows)
	byID := make(map[string]OrderView, len(views))
	for _, v := range views {
		byID[v.ID] = v
	}
	return byID, err
}

// Orders returns a page of orders, the newest first: one's own, or everybody's for staff. Faults: ErrCursor, ErrPage, those of auth.
func (q *Queries) Orders(ctx context.Context, p auth.Principal, f OrderFilter, page Page) (Connection[OrderView], error) {
	if f.Customer != "" {
		if err := p.Owns(f.Customer, auth.ReadOrders); err != nil {
			return Connection[OrderView]{}, err
		}
	}
	owner, err := q.owner(p, auth.ReadOrders)
	if err != nil {
		return Connection[OrderView]{}, err
	}
	l := listing{name: "orders", columns: orderColumns, from: "read.orders", where: []string{"status <> ''"},
		key: []string{"placed_at", "id"}, types: []string{"timestamptz", "text"}, newest: true}
	if owner != "" {
		f.Customer = owner
	}
	f.apply(&l)
	return pageOf(ctx, q, l, page, func(r orderRow) []string { return []string{timeKey(r.PlacedAt), r.ID} },
		func(ctx context.Context, rows []orderRow) ([]OrderView, error) { return q.orderViews(ctx, p, rows) })
}

func (f OrderFilter) apply(l *listing) {
	for _, c := range []struct{ column, value string }{
		{"customer", f.Customer}, {"status", f.Status}, {"number", f.Number}, {"reference", f.Reference}, {"country", f.Country},
	} {
		if c.value != "" {
			l.only(c.column+" = ?", c.value)
		}
	}
	if f.SKU != "" {
		l.only("skus @> ?", []string{f.SKU})
	}
	if !f.PlacedFrom.IsZero() {
		l.only("placed_at >= ?", f.PlacedFrom)
	}
	if !f.PlacedTo.IsZero() {
		l.only("placed_at < ?", f.PlacedTo)
	}
}

// owner returns whose things alone the principal sees: its own id, or "" for everybody's.
func (q *Queries) owner(p auth.Principal, others auth.Permission) (string, error) {
	if p.May(others) {
		return "", nil
	}
	if p.Kind == auth.Customer && p.ID != "" {
		return p.ID, nil
	}
	return "", p.Require(others)
}

const orderColumns = `id, number, customer, guest, status, priority, country, channel, language, reference, cart, carrier, provider, currency,
	total, captured, refunded, returned, lines, timeline, name, email, address, payment, payment_status, shipment, shipment_status, tracking,
	cancel_requested, cancel_code, cancel_reason, placed_at, updated_at`

type orderRow struct {
	ID, Number, Customer       string
	Guest                      bool
	Status, Priority           string
	Country, Channel, Language string
	Reference, Cart            string
	Carrier, Provider          string
	Currency                   money.Currency
	Total, Captured, Refunded  int64
	Returned                   int64
	Lines                      []orderLineRow
	Timeline                   []timelineRow
	Name, Email, Address       *pii.Sealed
	Payment, PaymentStatus     string
	Shipment, ShipmentStatus   string
	Tracking                   string
	CancelRequested            bool
	CancelCode, CancelReason   string
	PlacedAt, UpdatedAt        time.Time
}

type orderLineRow struct {
	Line        int    `json:"line"`
	SKU         string `json:"sku"`
	Name        string `json:"name"`
	Quantity    int64  `json:"quantity"`
	UnitPrice   int64  `json:"unitPrice"`
	PriceReason string `json:"priceReason"`
	Returned    int64  `json:"returned"`
}

func (q *Queries) orderViews(ctx context.Context, p auth.Principal, rows []orderRow) ([]OrderView, error) {
	views := make([]OrderView, len(rows))
	var o opening
	for i, r := range rows {
		views[i] = r.view()
		v := &views[i]
		seesTexts := p.Owns(r.Customer, auth.ReadPeople) == nil // who delivers needs name and address, and nothing that somebody typed
		if !seesTexts {
			v.withholdTexts()
		}
		if v.Person = PersonKnown; !seesPerson(p, r.Customer) {
			v.Person = PersonWithheld
			continue
		}
		o.text(pii.Name, r.Name, &v.Person, &v.Name)
		if seesTexts {
			o.text(pii.Email, r.Email, &v.Person, &v.Email)
			o.notes(r.Timeline, v)
		}
		o.address(r.Address, &v.Person, &v.Address)
	}
	return views, o.run(ctx, q.people)
}

// withholdTexts puts the word OTHER in place of what people typed in events from before it was sealed: there it stands in the clear, where a word
// of the list stands now. What the import writes is its own.
func (v *OrderView) withholdTexts() {
	for i := range v.Timeline {
		e := &v.Timeline[i]
		asked := e.Type == order.TypeCancelRequested || e.Type == order.TypeReturned
		if asked && !order.Cause(e.Note).Known() && !strings.HasPrefix(e.By, string(auth.Importer)+":") {
			e.Note = string(order.OtherCause)
		}
	}
}

// notes will put what people typed in place of the one word that stands for it.
func (o *opening) notes(rows []timelineRow, v *OrderView) {
	for i, row := range rows {
		if row.Said != nil {
			o.add(pii.Note, &row.Said.Note, &v.Person, func(plain []byte) error {
				v.Timeline[i].Note = string(plain)
				return nil
			})
		}
	}
}

func (r orderRow) view() OrderView {
	amount := func(minor int64) money.Amount { return money.Of(minor, r.Currency) }
	lines := make([]OrderLine, len(r.Lines))
	for i, l := range r.Lines {
		lines[i] = OrderLine{Line: l.Line, SKU: l.SKU, Name: l.Name, Quantity: l.Quantity, Returned: l.Returned,
			UnitPrice: amount(l.UnitPrice), PriceReason: l.PriceReason}
	}
	timeline := make([]TimelineEntry, len(r.Timeline))
	for i, row := range r.Timeline {
		timeline[i] = row.TimelineEntry
	}
	return OrderView{ID: r.ID, Number: r.Number, Customer: r.Customer, Guest: r.Guest, Status: r.Status, Priority: r.Priority,
		Country: r.Country, Channel: r.Channel, Language: r.Language, Reference: r.Reference, Cart: r.Cart, Carrier: r.Carrier,
		Provider: r.Provider, Lines: lines, Total: amount(r.Total), Captured: amount(r.Captured), Refunded: amount(r.Refunded),
		Returned: amount(r.Returned), PaymentID: r.Payment, PaymentStatus: r.PaymentStatus, ShipmentID: r.Shipment,
		ShipmentStatus: r.ShipmentStatus, Tracking: r.Tracking, CancelRequested: r.CancelRequested, CancelCode: r.CancelCode,
		CancelReason: r.CancelReason, Timeline: timeline, PlacedAt: r.PlacedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}
