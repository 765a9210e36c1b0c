// Package money is exact money: an integer number of a currency's minor units and the currency's ISO 4217 code.
//
// There is no floating point anywhere. Arithmetic refuses to mix currencies and to overflow; it is a fault, never a
// wrong number. In JSON an amount is {"minor":1234,"currency":"GBP"}; to people and over GraphQL it is a decimal string
// with exactly the currency's digits ("12.34"). Aggregates, projections, ports and the API all use this one type.
//
// The currencies and their digits are those of ISO 4217 that a shop meets (currency.go); an unknown code is refused
// where it enters.
package money

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// Amount is an exact sum of money. The zero Amount has no currency; it is nothing, and adds to anything.
type Amount struct {
	Minor    int64    `json:"minor"`    // in the currency's minor unit: pence, cents, yen
	Currency Currency `json:"currency"` // ISO 4217, upper case
}

// The refusals of this package.
var (
	ErrCurrencyMismatch = fault.New(fault.Invalid, "CURRENCY_MISMATCH", "amounts of different currencies can't be combined; use one currency")
	ErrAmountOverflow   = fault.New(fault.Invalid, "AMOUNT_OUT_OF_RANGE", "the amount is too large")
	ErrAmountMalformed  = fault.New(fault.Invalid, "AMOUNT_MALFORMED", "an amount is a decimal number with the currency's digits, such as 12.34")
)

// Of returns an amount of minor units.
func Of(minor int64, c Currency) Amount { return Amount{Minor: minor, Currency: c} }

// IsZero reports whether the amount is nothing, in whatever currency.
func (a Amount) IsZero() bool { return a.Minor == 0 }

// Add returns a+b, or ErrCurrencyMismatch, ErrAmountOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	if a == (Amount{}) {
		return b, nil
	}
	if b == (Amount{}) {
		return a, nil
	}
	if a.Currency != b.Currency {
		return Amount{}, ErrCurrencyMismatch
	}
	sum := a.Minor + b.Minor
	if (sum > a.Minor) != (b.Minor > 0) && b.Minor != 0 {
		return Amount{}, ErrAmountOverflow
	}
	return Amount{Minor: sum, Currency: a.Currency}, nil
}

// Sub returns a-b, or ErrCurrencyMismatch, ErrAmountOverflow.
func (a Amount) Sub(b Amount) (Amount, error) {
	if b.Minor == math.MinInt64 {
		return Amount{}, ErrAmountOverflow
	}
	return a.Add(Amount{Minor: -b.Minor, Currency: b.Currency})
}

// Times returns n times the amount, or ErrAmountOverflow.
func (a Amount) Times(n int64) (Amount, error) {
	hi, lo := bits.Mul64(magnitude(a.Minor), magnitude(n))
	if hi != 0 || lo > math.MaxInt64 {
		return Amount{}, ErrAmountOverflow
	}
	minor := int64(lo)
	if (a.Minor < 0) != (n < 0) {
		minor = -minor
	}
	return Amount{Minor: minor, Currency: a.Currency}, nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// Decimal returns the amount as a decimal with exactly the currency's digits and no code: "12.34", "-0.05", "500".
func (a Amount) Decimal() string {
	digits := a.Currency.Digits()
	s := strconv.FormatUint(magnitude(a.Minor), 10)
	if digits > 0 {
		if len(s) <= digits {
			s = strings.Repeat("0", digits-len(s)+1) + s
		}
		s = s[:len(s)-digits] + "." + s[len(s)-digits:]
	}
	if a.Minor < 0 {
		s = "-" + s
	}
	return s
}

// String returns the decimal and the code: "12.34 GBP".
func (a Amount) String() string { return a.Decimal() + " " + string(a.Currency) }

// Parse reads a decimal of the currency. Fewer digits than the currency has are filled with zeros ("12.5" pounds); more
// are refused, since a fraction of a minor unit can't be paid. Errors: ErrAmountMalformed, ErrAmountOverflow, ErrUnknownCurrency.
func Parse(decimal string, c Currency) (Amount, error) {
	if !c.Known() {
		return Amount{}, ErrUnknownCurrency
	}
	body, negative := strings.CutPrefix(decimal, "-")
	whole, frac, point := strings.Cut(body, ".")
	digits := c.Digits()
	if whole == "" || len(frac) > digits || (point && frac == "") || !onlyDigits(whole) || !onlyDigits(frac) {
		return Amount{}, ErrAmountMalformed
	}
	minor, err := strconv.ParseInt(whole+frac+strings.Repeat("0", digits-len(frac)), 10, 64)
	if err != nil {
		return Amount{}, ErrAmountOverflow
	}
	if negative {
		minor = -minor
	}
	return Amount{Minor: minor, Currency: c}, nil
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
