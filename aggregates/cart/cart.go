// Package cart is what a customer means to buy.
//
// Rules:
//   - a cart belongs to one customer and has one currency, from when it is opened;
//   - it holds at most 500 SKUs, of each 1 to 100,000 units; it holds no prices: those are the catalogue's at check-out;
//   - checking out ends it. That event carries the order's id and everything the order is placed with, at the prices of that
//     moment, so the order is placed even if the process that checked out dies right after.
//
// Decisions are pure: they take the state and return events, nothing (accepted, nothing to do) or a fault. Evolve never
// refuses and never changes the state it is given. Callers: commands for deciding, queries for a cart as of a time.
package cart

import (
	"slices"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// ID is a cart's id.
type ID string

// ErrIDMalformed refuses what can't be a cart's id.
var ErrIDMalformed = fault.New(fault.Invalid, "CART_ID_MALFORMED", "a cart id is 1 to 64 lower-case letters, digits and hyphens")

// Validate returns ErrIDMalformed unless the id has the right form.
func (id ID) Validate() error {
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return ErrIDMalformed
		}
	}
	if len(id) == 0 || len(id) > 64 {
		return ErrIDMalformed
	}
	return nil
}

// State is what the events of one cart amount to. The zero State is a cart that was never opened.
type State struct {
	Cart     ID
	Customer string
	Currency money.Currency
	Items    []Item      // in the order in which they were added
	Checkout *CheckedOut // nil while the cart is open
}

// An Item is a SKU in the cart.
type Item struct {
	SKU      string
	Quantity int64
}

// Exists reports whether the cart was opened.
func (s State) Exists() bool { return s.Cart != "" }

// Quantity returns how many units of the SKU are in the cart, 0 if it is not there.
func (s State) Quantity(sku string) int64 {
	if i := s.find(sku); i >= 0 {
		return s.Items[i].Quantity
	}
	return 0
}

func (s State) find(sku string) int {
	return slices.IndexFunc(s.Items, func(i Item) bool { return i.SKU == sku })
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Opened:
		s = State{Cart: e.Cart, Customer: e.Customer, Currency: e.Currency}
	case ItemAdded:
		s.Items = slices.Clone(s.Items)
		if i := s.find(e.SKU); i >= 0 {
			s.Items[i].Quantity += e.Quantity
		} else {
			s.Items = append(s.Items, Item{SKU: e.SKU, Quantity: e.Quantity})
		}
	case ItemChanged:
		if i := s.find(e.SKU); i >= 0 {
			s.Items = slices.Clone(s.Items)
			s.Items[i].Quantity = e.Quantity
		}
	case ItemRemoved:
		if i := s.find(e.SKU); i >= 0 {
			s.Items = slices.Delete(slices.Clone(s.Items), i, i+1)
		}
	case CheckedOut:
		s.Checkout = &e
	}
	return s
}
