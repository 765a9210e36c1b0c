// Package product is a thing the shop sells: its name, its price, and whether it is on sale.
//
// Rules:
//
//   - a product is created once under its SKU, which is the id of its stream and never reused;
//
//   - a price is of one unit, more than nothing and at most 10^11 minor units, in a currency the shop knows;
//
//   - a revision names only what changes; one that changes nothing is accepted and leaves no event;
//
//   - discontinuing is final: nothing is ordered or revised any more, what was ordered before is still delivered.
//
//     Create             Discontinue
//     (none) ───────▶ on sale ─────────────▶ discontinued
//     └─▲ Revise
//
// Decisions are pure: they take the state and return events, nothing (accepted, nothing to do) or a fault. Evolve never
// refuses and never changes the state it is given. Callers: commands for deciding, queries for a product as of a time.
package product

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// SKU is a product's id: 1 to 64 letters, digits, '_', '.' and '-', the first a letter or digit. Case counts.
type SKU string

// ErrSKUMalformed refuses what can't be a SKU.
var ErrSKUMalformed = fault.New(fault.Invalid, "SKU_MALFORMED", "a SKU is 1 to 64 letters, digits, '_', '.' or '-', and begins with a letter or digit")

// Validate returns ErrSKUMalformed unless the SKU has the right form.
func (s SKU) Validate() error {
	if len(s) == 0 || len(s) > 64 || !alphanumeric(s[0]) {
		return ErrSKUMalformed
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return ErrSKUMalformed
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// State is what the events of one product amount to. The zero State is a product that was never created.
type State struct {
	SKU          SKU
	Name         string
	Description  string
	Price        money.Amount // of one unit
	Discontinued bool
}

// Exists reports whether the product was created.
func (s State) Exists() bool { return s.SKU != "" }

// OnSale reports whether the product can be ordered.
func (s State) OnSale() bool { return s.Exists() && !s.Discontinued }

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s = State{SKU: e.SKU, Name: e.Name, Description: e.Description, Price: e.Price}
	case Revised:
		set(&s.Name, e.Name)
		set(&s.Description, e.Description)
		set(&s.Price, e.Price)
	case Discontinued:
		s.Discontinued = true
	}
	return s
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
