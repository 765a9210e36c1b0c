package projections

import (
	"time"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// customerRow is a customer; personal data stay sealed, search by e-mail goes through the vault's index.
type customerRow struct {
	Head
	Name         pii.Sealed             `db:"name"`
	Email        pii.Sealed             `db:"email"`
	Phone        pii.Sealed             `db:"phone"`
	Country      string                 `db:"country"`
	Language     string                 `db:"language"`
	Reference    string                 `db:"reference"`
	Tier         string                 `db:"tier"`
	Mail         bool                   `db:"mail"`
	SMS          bool                   `db:"sms"`
	Push         bool                   `db:"push"`
	Addresses    map[string]addressBook `db:"addresses"` // by label
	RegisteredAt time.Time              `db:"registered_at,volatile"`
	UpdatedAt    time.Time              `db:"updated_at,volatile"`
}

type addressBook struct {
	Address pii.Sealed `json:"address"`
	Country string     `json:"country"`
}

func customers() Spec[customerRow] {
	return Spec[customerRow]{
		Name: "customers", Version: 1,
		Categories: []eventstore.Category{eventstore.Customer},
		Keys:       func(e Event) []string { return []string{customerOf(e.Body)} },
		Apply: func(r *customerRow, e Event) error {
			if r.Events == 0 {
				r.RegisteredAt = e.Meta.OccurredAt
			}
			r.UpdatedAt = e.Meta.OccurredAt
			return r.apply(e.Body)
		},
	}
}

func customerOf(body any) string {
	switch b := body.(type) {
	case customer.Registered:
		return string(b.Customer)
	case customer.ProfileUpdated:
		return string(b.Customer)
	case customer.AddressSet:
		return string(b.Customer)
	case customer.AddressRemoved:
		return string(b.Customer)
	case customer.PreferencesSet:
		return string(b.Customer)
	case customer.TierChanged:
		return string(b.Customer)
	}
	return ""
}

func (r *customerRow) apply(body any) error {
	switch b := body.(type) {
	case customer.Registered:
		r.Name, r.Email, r.Phone = b.Name, b.Email, b.Phone
		r.Country, r.Language, r.Reference = b.Country, b.Language, b.Reference
		r.Tier, r.Mail = string(customer.Standard), true // as the aggregate begins
	case customer.ProfileUpdated:
		r.Name, r.Email, r.Phone = sealedOr(b.Name, r.Name), sealedOr(b.Email, r.Email), sealedOr(b.Phone, r.Phone)
	case customer.AddressSet:
		if r.Addresses == nil {
			r.Addresses = map[string]addressBook{}
		}
		r.Addresses[b.Label] = addressBook{Address: b.Address, Country: b.Country}
	case customer.AddressRemoved:
		if delete(r.Addresses, b.Label); len(r.Addresses) == 0 {
			r.Addresses = nil // the same as never to have had one
		}
	case customer.PreferencesSet:
		r.Mail, r.SMS, r.Push, r.Language = b.Mail, b.SMS, b.Push, orElse(b.Language, r.Language)
	case customer.TierChanged:
		r.Tier = string(b.Tier)
	default:
		return ErrUnhandled
	}
	return nil
}

func sealedOr(s, otherwise pii.Sealed) pii.Sealed {
	if s.IsZero() {
		return otherwise
	}
	return s
}
