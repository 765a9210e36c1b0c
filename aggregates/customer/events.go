package customer

import "github.com/annalhq/annal/internal/pii"

// Event is what can happen to a customer.
type Event interface{ Type() string }

// Registered opens a customer's stream.
type Registered struct {
	Customer  ID         `json:"customer"`
	Name      pii.Sealed `json:"name,omitzero"`
	Email     pii.Sealed `json:"email,omitzero"`
	Phone     pii.Sealed `json:"phone,omitzero"`
	Country   string     `json:"country,omitzero"`   // ISO 3166-1 alpha-2, or "" if unknown
	Language  string     `json:"language"`           // BCP 47, "en" by default
	Reference string     `json:"reference,omitzero"` // the customer's number in the system it was imported from
}

// ProfileUpdated carries the fields that changed; zero means unchanged.
type ProfileUpdated struct {
	Customer ID         `json:"customer"`
	Name     pii.Sealed `json:"name,omitzero"`
	Email    pii.Sealed `json:"email,omitzero"`
	Phone    pii.Sealed `json:"phone,omitzero"`
}

// AddressSet adds an address to the book, or replaces the one with the label.
type AddressSet struct {
	Customer ID         `json:"customer"`
	Label    string     `json:"label"` // "home", "work": chosen by the customer, holds no personal data by the house's rule
	Address  pii.Sealed `json:"address"`
	Country  string     `json:"country"`
}

// AddressRemoved takes an address out of the book.
type AddressRemoved struct {
	Customer ID     `json:"customer"`
	Label    string `json:"label"`
}

// PreferencesSet says over which channels the customer wants to hear from us, and in which language.
type PreferencesSet struct {
	Customer ID     `json:"customer"`
	Mail     bool   `json:"mail"`
	SMS      bool   `json:"sms"`
	Push     bool   `json:"push"`
	Language string `json:"language"`
}

// TierChanged moves the customer to another tier.
type TierChanged struct {
	Customer ID         `json:"customer"`
	Tier     Tier       `json:"tier"`
	Reason   string     `json:"reason"`        // empty; what staff typed in events from before there was Note
	Note     pii.Sealed `json:"note,omitzero"` // what staff typed: it is about a person
}

// Stored names. Never changed.
const (
	TypeRegistered     = "customer.registered.v1"
	TypeProfileUpdated = "customer.profile-updated.v1"
	TypeAddressSet     = "customer.address-set.v1"
	TypeAddressRemoved = "customer.address-removed.v1"
	TypePreferencesSet = "customer.preferences-set.v1"
	TypeTierChanged    = "customer.tier-changed.v1"
)

// Type returns the stored name.
func (Registered) Type() string { return TypeRegistered }

// Type returns the stored name.
func (ProfileUpdated) Type() string { return TypeProfileUpdated }

// Type returns the stored name.
func (AddressSet) Type() string { return TypeAddressSet }

// Type returns the stored name.
func (AddressRemoved) Type() string { return TypeAddressRemoved }

// Type returns the stored name.
func (PreferencesSet) Type() string { return TypePreferencesSet }

// Type returns the stored name.
func (TierChanged) Type() string { return TypeTierChanged }
