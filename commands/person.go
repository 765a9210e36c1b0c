package commands

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// What is typed in about a person is checked in plaintext, sealed, and forgotten: it never reaches a decision, a log or an
// error message. Orders use sealAddress and checkAddress as well.

// checkProfile looks at the data that are given.
func checkProfile(name, email, phone *string) error {
	switch {
	case name != nil && !customer.ValidName(*name):
		return customer.ErrName
	case email != nil && !customer.ValidEmail(*email):
		return customer.ErrEmail
	case phone != nil && !customer.ValidPhone(*phone):
		return customer.ErrPhone
	}
	return nil
}

// checkAddress is Validate below the path "address".
func checkAddress(a customer.Address) error {
	err := a.Validate()
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return f.At("address")
	}
	return err
}

// sealProfile seals what is not empty.
func (h *Handlers) sealProfile(ctx context.Context, id customer.ID, name, email, phone string) (n, e, p pii.Sealed, err error) {
	subject := pii.Subject(id)
	if n, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Name, []byte(name)); err != nil {
		return n, e, p, err
	}
	if e, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Email, []byte(email)); err != nil {
		return n, e, p, err
	}
	p, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Phone, []byte(phone))
	return n, e, p, err
}

// sealAddress seals the JSON of an address.
func (h *Handlers) sealAddress(ctx context.Context, subject pii.Subject, a customer.Address) (pii.Sealed, error) {
	plain, err := json.Marshal(a)
	if err != nil {
		return pii.Sealed{}, fault.Wrap(err, fault.Internal, "ADDRESS_UNENCODABLE", "the address can't be encoded")
	}
	return h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Address, plain)
}

// makeFindable writes the customer's e-mail and phone into the blind index. It takes them from the state and not from the
// command: a repeat of an old command must not bring an old address back. It stands behind the append; if it is not
// reached, the command's repeat reaches it. Faults: those of the vault.
func (h *Handlers) makeFindable(ctx context.Context, s customer.State) error {
	for _, datum := range []struct {
		field  pii.Field
		sealed pii.Sealed
		normal func(string) string
	}{{pii.Email, s.Email, customer.NormalEmail}, {pii.Phone, s.Phone, customer.NormalPhone}} {
		if datum.sealed.IsZero() {
			continue
		}
		plain, err := h.vault.Open(ctx, datum.field, datum.sealed)
		if err != nil {
			return err
		}
		if err := h.vault.Index(ctx, pii.Subject(s.Customer), datum.field, datum.normal(string(plain))); err != nil {
			return err
		}
	}
	return nil
}

// given returns nil for an empty string, which means that a datum is not given.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
