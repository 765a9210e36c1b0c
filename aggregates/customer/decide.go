package customer

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// MaxAddresses is how many addresses a book holds.
const MaxAddresses = 20

// The refusals of this package. Those of what is typed in stand in profile.go.
var (
	ErrExists         = fault.New(fault.Conflict, "CUSTOMER_EXISTS", "the customer is registered already")
	ErrMissing        = fault.New(fault.Missing, "CUSTOMER_NOT_FOUND", "there is no such customer")
	ErrAddressMissing = fault.New(fault.Missing, "ADDRESS_NOT_FOUND", "there is no address with this label").At("label")
	ErrBookFull       = fault.New(fault.Exhausted, "ADDRESS_BOOK_FULL", "an address book holds 20 addresses; remove one first")
	ErrTier           = fault.New(fault.Invalid, "TIER_UNKNOWN", "a tier is standard or vip").At("tier")
	ErrNothingSealed  = fault.New(fault.Invalid, "ADDRESS_MALFORMED", "an address is needed").At("address")
)

// Register opens a customer with what e says. Faults: ErrExists, ErrCountry, ErrLanguage.
func Register(s State, e Registered) ([]Event, error) {
	if s.Exists() {
		return nil, ErrExists
	}
	if e.Language == "" {
		e.Language = DefaultLanguage
	}
	if !ValidLanguage(e.Language) {
		return nil, ErrLanguage
	}
	if e.Country != "" && !ValidCountry(e.Country) {
		return nil, ErrCountry
	}
	return []Event{e}, nil
}

// UpdateProfile changes the data that are given. Fault: ErrMissing.
func UpdateProfile(s State, name, email, phone pii.Sealed) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	return []Event{ProfileUpdated{Customer: s.Customer, Name: name, Email: email, Phone: phone}}, nil
}

// SetAddress puts an address into the book, in place of the one with the label. Faults: ErrMissing, ErrLabel, ErrCountry,
// ErrNothingSealed, ErrBookFull.
func SetAddress(s State, label string, address pii.Sealed, country string) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if !ValidLabel(label) {
		return nil, ErrLabel
	}
	if !ValidCountry(country) {
		return nil, ErrCountry
	}
	if address.IsZero() {
		return nil, ErrNothingSealed
	}
	if _, replaced := s.find(label); !replaced && len(s.Addresses) >= MaxAddresses {
		return nil, ErrBookFull
	}
	return []Event{AddressSet{Customer: s.Customer, Label: label, Address: address, Country: country}}, nil
}

// RemoveAddress takes an address out of the book. Faults: ErrMissing, ErrAddressMissing.
func RemoveAddress(s State, label string) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if _, found := s.find(label); !found {
		return nil, ErrAddressMissing
	}
	return []Event{AddressRemoved{Customer: s.Customer, Label: label}}, nil
}

// SetPreferences replaces the preferences; an empty language leaves it as it is. Faults: ErrMissing, ErrLanguage.
func SetPreferences(s State, p Preferences) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if p.Language == "" {
		p.Language = s.Preferences.Language
	}
	if !ValidLanguage(p.Language) {
		return nil, ErrLanguage
	}
	return []Event{PreferencesSet{Customer: s.Customer, Mail: p.Mail, SMS: p.SMS, Push: p.Push, Language: p.Language}}, nil
}

// ChangeTier moves the customer to a tier; note says why, sealed. Faults: ErrMissing, ErrTier.
func ChangeTier(s State, tier Tier, note pii.Sealed) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if tier != Standard && tier != VIP {
		return nil, ErrTier
	}
	return []Event{TierChanged{Customer: s.Customer, Tier: tier, Note: note}}, nil
}
