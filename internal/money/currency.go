package money

import "github.com/annalhq/annal/internal/fault"

// Currency is an ISO 4217 code in upper case.
type Currency string

// ErrUnknownCurrency refuses a code that is not in the table.
var ErrUnknownCurrency = fault.New(fault.Invalid, "UNKNOWN_CURRENCY", "the currency is not an ISO 4217 code that this shop knows, such as GBP")

// digits of the minor unit, ISO 4217:2015 table A.1.
var digits = map[Currency]int{
	"AED": 2, "AUD": 2, "BGN": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2, "COP": 2, "CZK": 2, "DKK": 2,
	"EUR": 2, "GBP": 2, "HKD": 2, "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3,
	"MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PLN": 2, "QAR": 2, "RON": 2, "SAR": 2, "SEK": 2, "SGD": 2,
	"THB": 2, "TND": 3, "TRY": 2, "TWD": 2, "UAH": 2, "USD": 2, "VND": 0, "ZAR": 2,
}

// Known reports whether the code is in the table.
func (c Currency) Known() bool { _, ok := digits[c]; return ok }

// Digits returns the number of decimal digits of the minor unit; 2 for a code that is not known.
func (c Currency) Digits() int {
	if d, ok := digits[c]; ok {
		return d
	}
	return 2
}
