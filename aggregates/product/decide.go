package product

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// The limits of a product.
const (
	MaxName        = 200             // characters
	MaxDescription = 4000            // characters
	MaxReason      = 500             // characters
	MaxPrice       = 100_000_000_000 // minor units
)

// The refusals of this package.
var (
	ErrExists         = fault.New(fault.Conflict, "PRODUCT_EXISTS", "there is a product with this SKU; revise it, or choose another SKU")
	ErrMissing        = fault.New(fault.Missing, "PRODUCT_NOT_FOUND", "there is no product with this SKU")
	ErrDiscontinued   = fault.New(fault.Conflict, "PRODUCT_DISCONTINUED", "the product is discontinued and is sold no more")
	ErrName           = fault.New(fault.Invalid, "NAME_MALFORMED", "a product's name is 1 to 200 characters without control characters").At("name")
	ErrDescription    = fault.New(fault.Invalid, "DESCRIPTION_MALFORMED", "a description is at most 4,000 characters without control characters except line breaks").At("description")
	ErrPrice          = fault.New(fault.Invalid, "PRICE_OUT_OF_RANGE", "a price is more than zero and at most 100,000,000,000 minor units").At("price")
	ErrReason         = fault.New(fault.Invalid, "REASON_MALFORMED", "give a reason of 1 to 500 characters").At("reason")
	errPriceCurrency  = money.ErrUnknownCurrency.At("price")
	errProductUnnamed = ErrSKUMalformed.At("sku")
)

// Create opens a product. Faults: ErrExists, ErrSKUMalformed, ErrName, ErrDescription, ErrPrice, money.ErrUnknownCurrency.
func Create(s State, sku SKU, name, description string, price money.Amount) ([]Event, error) {
	if s.Exists() {
		return nil, ErrExists
	}
	if sku.Validate() != nil {
		return nil, errProductUnnamed
	}
	if err := check(&name, &description, &price); err != nil {
		return nil, err
	}
	return []Event{Created{SKU: sku, Name: name, Description: description, Price: price}}, nil
}

// Revision is what is to change; nil leaves a field as it is.
type Revision struct {
	Name        *string
	Description *string
	Price       *money.Amount
}

// Revise changes what differs. Faults: ErrMissing, ErrDiscontinued, and those of Create for the fields.
func Revise(s State, r Revision) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if s.Discontinued {
		return nil, ErrDiscontinued
	}
	if err := check(r.Name, r.Description, r.Price); err != nil {
		return nil, err
	}
	e := Revised{SKU: s.SKU, Name: changed(s.Name, r.Name), Description: changed(s.Description, r.Description), Price: changed(s.Price, r.Price)}
	return []Event{e}, nil // of nothing, too: an accepted command must be found in the stream when it comes again
}

// Discontinue ends the sale; of a product whose sale has ended it is accepted and does nothing. Faults: ErrMissing, ErrReason.
func Discontinue(s State, reason string) ([]Event, error) {
	if !s.Exists() {
		return nil, ErrMissing
	}
	if !text(reason, 1, MaxReason, "") {
		return nil, ErrReason
	}
	if s.Discontinued {
		return nil, nil
	}
	return []Event{Discontinued{SKU: s.SKU, Reason: reason}}, nil
}

// check looks at the fields that are given.
func check(name, description *string, price *money.Amount) error {
	if name != nil && !text(*name, 1, MaxName, "") {
		return ErrName
	}
	if description != nil && !text(*description, 0, MaxDescription, "\n\t") {
		return ErrDescription
	}
	if price == nil {
		return nil
	}
	if !price.Currency.Known() {
		return errPriceCurrency
	}
	if price.Minor <= 0 || price.Minor > MaxPrice {
		return ErrPrice
	}
	return nil
}

func changed[T comparable](was T, wanted *T) *T {
	if wanted == nil || *wanted == was {
		return nil
	}
	value := *wanted
	return &value
}

// text reports whether s is UTF-8 of least to most characters, none of them a control character that is not in allowed.
func text(s string, least, most int, allowed string) bool {
	if n := utf8.RuneCountInString(s); n < least || n > most || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) && !strings.ContainsRune(allowed, c) {
			return false
		}
	}
	return true
}
