package commands

import (
	"context"
	"errors"

	"github.com/nats-io/nuid"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

// customers are the streams customer-<id>.
var customers = aggregate[customer.State, customer.Event]{category: eventstore.Customer, evolve: customer.Evolve, snapshots: customerSnapshots}

// RegisterCustomer registers the caller, if it is a customer, or somebody else, whose id is then derived from the command.
type RegisterCustomer struct {
	Meta
	Name      string `json:"name,omitzero"`
	Email     string `json:"email,omitzero"`
	Phone     string `json:"phone,omitzero"`
	Country   string `json:"country,omitzero"`   // ISO 3166-1 alpha-2
	Language  string `json:"language,omitzero"`  // BCP 47; default "en"
	Reference string `json:"reference,omitzero"` // number in the system the customer is imported from; not for customers themselves
}

// UpdateProfile changes what is given; nil leaves a datum as it is.
type UpdateProfile struct {
	Meta
	Customer customer.ID `json:"customer"`
	Name     *string     `json:"name,omitempty"`
	Email    *string     `json:"email,omitempty"`
	Phone    *string     `json:"phone,omitempty"`
}

// SetAddress puts an address into the customer's book, in place of the one with the label.
type SetAddress struct {
	Meta
	Customer customer.ID      `json:"customer"`
	Label    string           `json:"label"`
	Address  customer.Address `json:"address"`
}

// RemoveAddress takes an address out of the customer's book.
type RemoveAddress struct {
	Meta
	Customer customer.ID `json:"customer"`
	Label    string      `json:"label"`
}

// SetPreferences says over which channels the customer wants to hear from us; an empty language stays as it is.
type SetPreferences struct {
	Meta
	Customer customer.ID `json:"customer"`
	Mail     bool        `json:"mail"`
	SMS      bool        `json:"sms"`
	Push     bool        `json:"push"`
	Language string      `json:"language,omitzero"`
}

// ChangeTier moves the customer to a tier.
type ChangeTier struct {
	Meta
	Customer customer.ID   `json:"customer"`
	Tier     customer.Tier `json:"tier"`
	Why      string        `json:"why"` // as somebody typed it: stands in the event, sealed
}

// CustomerChanged answers the commands of a customer.
type CustomerChanged struct {
	Receipt
	Customer customer.ID `json:"customer"`
}

// RegisterCustomer is for a customer itself or needs auth.ManagePeople. Faults: those of customer.Register, of what is typed
// in (customer/profile.go), of the vault, and of every command.
func (h *Handlers) RegisterCustomer(ctx context.Context, p auth.Principal, c RegisterCustomer) (CustomerChanged, error) {
	id, meta, err := registeree(p, c)
	if err != nil {
		return CustomerChanged{}, err
	}
	if err := checkProfile(given(c.Name), given(c.Email), given(c.Phone)); err != nil {
		return CustomerChanged{}, err
	}
	if !printable(c.Reference, 0, 100) {
		return CustomerChanged{}, errReference
	}
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "RegisterCustomer", meta, pii.Subject(id), c)
	if err != nil {
		return CustomerChanged{}, err
	}
	r.Country = c.Country
	e := customer.Registered{Customer: id, Country: c.Country, Language: c.Language, Reference: c.Reference}
	if e.Name, e.Email, e.Phone, err = h.sealProfile(ctx, id, c.Name, c.Email, c.Phone); err != nil {
		return CustomerChanged{}, err
	}
	done, s, err := execute(ctx, h, customers, r, string(id), func(s customer.State, _ eventstore.Revision) ([]customer.Event, error) {
		return customer.Register(s, e)
	})
	if err != nil {
		return CustomerChanged{}, err
	}
	return CustomerChanged{Receipt: done, Customer: id}, h.makeFindable(ctx, s)
}

// registeree says who is registered and fixes the key, since the id may be derived from it.
func registeree(p auth.Principal, c RegisterCustomer) (customer.ID, Meta, error) {
	if p.Kind == auth.Customer {
		if c.Reference != "" {
			return "", Meta{}, auth.ErrDenied.Because("only staff and the import may give a customer a reference").At("reference")
		}
		id := customer.ID(p.ID)
		return id, c.Meta, id.Validate()
	}
	if err := p.Require(auth.ManagePeople); err != nil {
		return "", Meta{}, err
	}
	if c.IdempotencyKey == "" {
		c.IdempotencyKey = nuid.Next()
	}
	command := eventstore.CommandID(string(p.Kind), p.ID, "RegisterCustomer", c.IdempotencyKey)
	return customer.ID(deriveID("customer", command.String())), c.Meta, nil
}

// UpdateProfile is for the customer or needs auth.ManagePeople. Faults: customer.ErrMissing, those of what is typed in, of the
// vault (vault.ErrErased), and of every command.
func (h *Handlers) UpdateProfile(ctx context.Context, p auth.Principal, c UpdateProfile) (CustomerChanged, error) {
	if err := ownCustomer(p, c.Customer); err != nil {
		return CustomerChanged{}, err
	}
	if err := checkProfile(c.Name, c.Email, c.Phone); err != nil {
		return CustomerChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "UpdateProfile", meta, pii.Subject(c.Customer), c)
	if err != nil {
		return CustomerChanged{}, err
	}
	name, email, phone, err := h.sealProfile(ctx, c.Customer, deref(c.Name), deref(c.Email), deref(c.Phone))
	if err != nil {
		return CustomerChanged{}, err
	}
	done, s, err := execute(ctx, h, customers, r, string(c.Customer), func(s customer.State, _ eventstore.Revision) ([]customer.Event, error) {
		return customer.UpdateProfile(s, name, email, phone)
	})
	if err != nil {
		return CustomerChanged{}, err
	}
	return CustomerChanged{Receipt: done, Customer: c.Customer}, h.makeFindable(ctx, s)
}

// SetAddress is for the customer or needs auth.ManagePeople. Faults: those of customer.SetAddress and Address.Validate, of the
// vault, and of every command.
func (h *Handlers) SetAddress(ctx context.Context, p auth.Principal, c SetAddress) (CustomerChanged, error) {
	if err := ownCustomer(p, c.Customer); err != nil {
		return CustomerChanged{}, err
	}
	if err := checkAddress(c.Address); err != nil {
		return CustomerChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "SetAddress", meta, pii.Subject(c.Customer), c)
	if err != nil {
		return CustomerChanged{}, err
	}
	sealed, err := h.sealAddress(ctx, pii.Subject(c.Customer), c.Address)
	if err != nil {
		return CustomerChanged{}, err
	}
	done, _, err := execute(ctx, h, customers, r, string(c.Customer), func(s customer.State, _ eventstore.Revision) ([]customer.Event, error) {
		return customer.SetAddress(s, c.Label, sealed, c.Address.Country)
	})
	return CustomerChanged{Receipt: done, Customer: c.Customer}, err
}

// RemoveAddress is for the customer or needs auth.ManagePeople. Faults: customer.ErrMissing, customer.ErrAddressMissing, and
// those of every command.
func (h *Handlers) RemoveAddress(ctx context.Context, p auth.Principal, c RemoveAddress) (CustomerChanged, error) {
	if err := ownCustomer(p, c.Customer); err != nil {
		return CustomerChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.customer(ctx, p, "RemoveAddress", meta, c.Customer, c, func(s customer.State) ([]customer.Event, error) {
		return customer.RemoveAddress(s, c.Label)
	})
}

// SetPreferences is for the customer or needs auth.ManagePeople. Faults: those of customer.SetPreferences and of every command.
func (h *Handlers) SetPreferences(ctx context.Context, p auth.Principal, c SetPreferences) (CustomerChanged, error) {
	if err := ownCustomer(p, c.Customer); err != nil {
		return CustomerChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.customer(ctx, p, "SetPreferences", meta, c.Customer, c, func(s customer.State) ([]customer.Event, error) {
		return customer.SetPreferences(s, customer.Preferences{Mail: c.Mail, SMS: c.SMS, Push: c.Push, Language: c.Language})
	})
}

// ChangeTier needs auth.SetTier, also of the customer itself. Faults: those of customer.ChangeTier, of the vault (vault.ErrErased, save for a
// repeat), and of every command.
func (h *Handlers) ChangeTier(ctx context.Context, p auth.Principal, c ChangeTier) (CustomerChanged, error) {
	if err := p.Require(auth.SetTier); err != nil {
		return CustomerChanged{}, err
	}
	if c.Customer.Validate() != nil {
		return CustomerChanged{}, customer.ErrIDMalformed.At("customer")
	}
	if !printable(c.Why, 1, 500) {
		return CustomerChanged{}, errWhy
	}
	meta := c.Meta
	c.Meta = Meta{}
	note, sealing := h.vault.Seal(ctx, pii.Subject(c.Customer), pii.Fulfilment, pii.Note, []byte(c.Why))
	n := said{typed: c.Why, text: c.Why, subject: pii.Subject(c.Customer)}
	switch {
	case errors.Is(sealing, vault.ErrErased): // only a repeat has an answer
		n = said{typed: c.Why, erased: true}
	case sealing != nil:
		return CustomerChanged{}, sealing
	}
	r, err := h.beginSaid(ctx, p, "ChangeTier", meta, n, func(_ order.Cause, text string) any {
		c.Why = text
		return c
	}, func(recorded any) bool {
		e, ok := recorded.(customer.TierChanged)
		return ok && !e.Note.IsZero() && e.Tier == c.Tier
	})
	if err != nil {
		return CustomerChanged{}, err
	}
	done, _, err := execute(ctx, h, customers, r, string(c.Customer), func(s customer.State, _ eventstore.Revision) ([]customer.Event, error) {
		if sealing != nil {
			return nil, sealing
		}
		return customer.ChangeTier(s, c.Tier, note)
	})
	return CustomerChanged{Receipt: done, Customer: c.Customer}, err
}

// customer runs one decision that seals nothing on a customer's stream.
func (h *Handlers) customer(ctx context.Context, p auth.Principal, name string, m Meta, id customer.ID, input any,
	decide func(customer.State) ([]customer.Event, error)) (CustomerChanged, error) {
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return CustomerChanged{}, err
	}
	done, _, err := execute(ctx, h, customers, r, string(id), func(s customer.State, _ eventstore.Revision) ([]customer.Event, error) {
		return decide(s)
	})
	return CustomerChanged{Receipt: done, Customer: id}, err
}

func ownCustomer(p auth.Principal, id customer.ID) error {
	if err := p.Owns(string(id), auth.ManagePeople); err != nil {
		return err
	}
	if id.Validate() != nil {
		return customer.ErrIDMalformed.At("customer")
	}
	return nil
}
