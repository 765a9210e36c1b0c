package queries

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

// PersonState says why personal data is there or not.
type PersonState string

// The states of personal data in a view.
const (
	PersonKnown       PersonState = "known"
	PersonErased      PersonState = "erased"      // for ever
	PersonWithheld    PersonState = "withheld"    // the principal may see the thing but not the person
	PersonUnavailable PersonState = "unavailable" // the vault does not answer; try again
)

// errAddress answers for a sealed address that is none.
var errAddress = fault.New(fault.Internal, "ADDRESS_UNREADABLE", "a sealed address is not the JSON of one")

// seesPerson reports whether the principal may see whose thing it is: the person itself, staff for people, and who
// has to deliver.
func seesPerson(p auth.Principal, owner string) bool {
	return p.Owns(owner, auth.ReadPeople) == nil || p.May(auth.Fulfil)
}

// opening collects the sealed values of a page, opens them together and puts each where it belongs.
type opening struct {
	items []vault.Item
	put   []func(plain []byte) error
	state []*PersonState
}

func (o *opening) add(field pii.Field, s *pii.Sealed, state *PersonState, put func([]byte) error) {
	if s == nil || s.IsZero() {
		return
	}
	o.items = append(o.items, vault.Item{Field: field, Sealed: *s})
	o.put = append(o.put, put)
	o.state = append(o.state, state)
}

// text will set *to to what the value holds.
func (o *opening) text(field pii.Field, s *pii.Sealed, state *PersonState, to **string) {
	o.add(field, s, state, func(plain []byte) error {
		text := string(plain)
		*to = &text
		return nil
	})
}

// address will set *to to the address that the value holds.
func (o *opening) address(s *pii.Sealed, state *PersonState, to **customer.Address) {
	o.add(pii.Address, s, state, func(plain []byte) error {
		var a customer.Address
		if err := json.Unmarshal(plain, &a); err != nil {
			return errAddress
		}
		*to = &a
		return nil
	})
}

// run opens everything. A vault that is away is a state, not a failure: orders and amounts are shown all the same.
func (o *opening) run(ctx context.Context, people People) error {
	if len(o.items) == 0 {
		return nil
	}
	opened, err := people.OpenMany(ctx, o.items)
	if err != nil {
		if kind := fault.KindOf(err); kind != fault.Unavailable {
			return err
		}
		for _, s := range o.state {
			*s = PersonUnavailable
		}
		return nil
	}
	for i, result := range opened {
		switch {
		case errors.Is(result.Err, vault.ErrErased):
			*o.state[i] = PersonErased
		case result.Err != nil:
			return result.Err
		default:
			if err := o.put[i](result.Plaintext); err != nil {
				return err
			}
		}
	}
	return nil
}
