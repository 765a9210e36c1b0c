package queries

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
)

// CustomerView is a customer. Name, Email, Phone and the addresses are nil unless Person is known.
type CustomerView struct {
	ID                      string
	Person                  PersonState
	Name, Email, Phone      *string
	Country, Language       string
	Tier, Reference         string
	Addresses               []LabelledAddress // by label
	Mail, SMS, Push         bool              // how the customer wants to hear from us
	RegisteredAt, UpdatedAt time.Time
}

// LabelledAddress is an address in a customer's book.
type LabelledAddress struct {
	Label   string
	Country string
	Address *customer.Address
}

// CustomerFilter selects customers; zero fields select all. E-mail and phone are matched exactly, through the vault's index.
type CustomerFilter struct {
	Email, Phone, Reference string
}

// Customer returns a customer: oneself, or anybody for staff. Faults: ErrNotFound, those of auth.
func (q *Queries) Customer(ctx context.Context, p auth.Principal, id string) (CustomerView, error) {
	found, err := q.CustomersByID(ctx, p, []string{id})
	if err != nil {
		return CustomerView{}, err
	}
	if v, ok := found[id]; ok {
		return v, nil
	}
	return CustomerView{}, ErrNotFound
}

// CustomersByID returns those of the customers that the principal may see.
func (q *Queries) CustomersByID(ctx context.Context, p auth.Principal, ids []string) (map[string]CustomerView, error) {
	owner, err := q.owner(p, auth.ReadPeople)
	if err != nil {
		return nil, err
	}
	rows, err := collect[customerRow](ctx, q, "SELECT "+customerColumns+" FROM read.customers WHERE id = ANY($1) AND ($2 = '' OR id = $2)", ids, owner)
	if err != nil {
		return nil, err
	}
	views, err := q.customerViews(ctx, rows)
	found := make(map[string]CustomerView, len(views))
	for _, v := range views {
		found[v.ID] = v
	}
	return found, err
}

// Customers returns a page of customers by id; for staff. Faults: ErrCursor, ErrPage, those of auth and of the vault.
func (q *Queries) Customers(ctx context.Context, p auth.Principal, f CustomerFilter, page Page) (Connection[CustomerView], error) {
	if err := p.Require(auth.ReadPeople); err != nil {
		return Connection[CustomerView]{}, err
	}
	l := listing{name: "customers", columns: customerColumns, from: "read.customers", key: []string{"id"}, types: []string{"text"}}
	for _, by := range []struct {
		field      pii.Field
		normalised string
	}{{pii.Email, customer.NormalEmail(strings.TrimSpace(f.Email))}, {pii.Phone, customer.NormalPhone(f.Phone)}} {
		if by.normalised == "" {
			continue
		}
		people, err := q.people.Find(ctx, by.field, by.normalised)
		if err != nil {
			return Connection[CustomerView]{}, err
		}
		ids := make([]string, len(people))
		for i, s := range people {
			ids[i] = string(s)
		}
		l.only("id = ANY(?)", ids)
	}
	if f.Reference != "" {
		l.only("reference = ?", f.Reference)
	}
	return pageOf(ctx, q, l, page, func(r customerRow) []string { return []string{r.ID} }, q.customerViews)
}

const customerColumns = `id, name, email, phone, country, language, reference, tier, mail, sms, push, addresses, registered_at, updated_at`

type customerRow struct {
	ID                      string
	Name, Email, Phone      *pii.Sealed
	Country, Language       string
	Reference, Tier         string
	Mail, SMS, Push         bool
	Addresses               map[string]addressRow
	RegisteredAt, UpdatedAt time.Time
}

type addressRow struct {
	Address pii.Sealed `json:"address"`
	Country string     `json:"country"`
}

func (q *Queries) customerViews(ctx context.Context, rows []customerRow) ([]CustomerView, error) {
	views := make([]CustomerView, len(rows))
	var o opening
	for i, r := range rows {
		views[i] = CustomerView{ID: r.ID, Person: PersonKnown, Country: r.Country, Language: r.Language, Tier: r.Tier, Reference: r.Reference,
			Mail: r.Mail, SMS: r.SMS, Push: r.Push, RegisteredAt: r.RegisteredAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
		v := &views[i]
		o.text(pii.Name, r.Name, &v.Person, &v.Name)
		o.text(pii.Email, r.Email, &v.Person, &v.Email)
		o.text(pii.Phone, r.Phone, &v.Person, &v.Phone)
		labels := slices.Sorted(maps.Keys(r.Addresses))
		v.Addresses = make([]LabelledAddress, len(labels))
		for j, label := range labels {
			a := r.Addresses[label]
			v.Addresses[j] = LabelledAddress{Label: label, Country: a.Country}
			o.address(&a.Address, &v.Person, &v.Addresses[j].Address)
		}
	}
	return views, o.run(ctx, q.people)
}
