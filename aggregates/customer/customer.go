// Package customer is a person (or firm) who buys: how to reach them, where to deliver, what they want to hear, their tier.
//
// Rules:
//   - a customer is registered once; nothing else is accepted before;
//   - personal data is sealed before it comes here (internal/vault, subject = the customer's id), so what is typed in is
//     checked in plaintext by profile.go, and an update of a sealed datum always counts as a change;
//   - addresses are kept in a book of at most 20, by a label of the customer's choice;
//   - the tier is standard at first; staff changes it with a reason. Orders copy it as their priority when they are placed.
//
// Decisions are pure: they take the state and return events, nothing (accepted, nothing to do) or a fault. Evolve never
// refuses and never changes the state it is given. Other contexts keep the copy they need, fed by these events. Erasing
// the person destroys the key: events and state stay, their sealed values can't be opened any more.
package customer

import (
	"slices"
	"strings"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// ID is a customer's id, opaque: it holds nothing of the person.
type ID string

// ErrIDMalformed refuses what can't be a customer's id.
var ErrIDMalformed = fault.New(fault.Invalid, "CUSTOMER_ID_MALFORMED", "a customer id is 1 to 64 lower-case letters, digits and hyphens")

// Validate returns ErrIDMalformed unless the id has the right form. (Ids are subjects of the vault: they hold no colon.)
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

// Tier is how the customer stands with the shop.
type Tier string

// The tiers.
const (
	Standard Tier = "standard"
	VIP      Tier = "vip"
)

// State is what the events of one customer amount to. The zero State is somebody who never registered.
type State struct {
	Customer    ID
	Name        pii.Sealed
	Email       pii.Sealed
	Phone       pii.Sealed
	Country     string // ISO 3166-1 alpha-2, "" if unknown
	Reference   string
	Tier        Tier
	Preferences Preferences
	Addresses   []Entry // by label
}

// Preferences says over which channels the customer wants to hear from us, and in which language.
type Preferences struct {
	Mail     bool
	SMS      bool
	Push     bool
	Language string // BCP 47
}

// An Entry is one address of the book.
type Entry struct {
	Label   string
	Address pii.Sealed // the JSON of an Address
	Country string
}

// Exists reports whether the customer is registered.
func (s State) Exists() bool { return s.Customer != "" }

// Address returns the address with the label, and whether there is one.
func (s State) Address(label string) (Entry, bool) {
	i, found := s.find(label)
	if !found {
		return Entry{}, false
	}
	return s.Addresses[i], true
}

func (s State) find(label string) (int, bool) {
	return slices.BinarySearchFunc(s.Addresses, label, func(e Entry, label string) int { return strings.Compare(e.Label, label) })
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s = State{Customer: e.Customer, Name: e.Name, Email: e.Email, Phone: e.Phone, Country: e.Country, Reference: e.Reference,
			Tier: Standard, Preferences: Preferences{Mail: true, Language: e.Language}}
	case ProfileUpdated:
		set(&s.Name, e.Name)
		set(&s.Email, e.Email)
		set(&s.Phone, e.Phone)
	case AddressSet:
		entry := Entry{Label: e.Label, Address: e.Address, Country: e.Country}
		i, found := s.find(e.Label)
		s.Addresses = slices.Clone(s.Addresses)
		if found {
			s.Addresses[i] = entry
		} else {
			s.Addresses = slices.Insert(s.Addresses, i, entry)
		}
	case AddressRemoved:
		if i, found := s.find(e.Label); found {
			s.Addresses = slices.Delete(slices.Clone(s.Addresses), i, i+1)
		}
	case PreferencesSet:
		s.Preferences = Preferences{Mail: e.Mail, SMS: e.SMS, Push: e.Push, Language: e.Language}
	case TierChanged:
		s.Tier = e.Tier
	}
	return s
}

func set(field *pii.Sealed, value pii.Sealed) {
	if !value.IsZero() {
		*field = value
	}
}
