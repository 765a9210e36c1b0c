package commands

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
)

// Refusals of an input's shape that more than one context needs.
var (
	errReference = fault.New(fault.Invalid, "REFERENCE_MALFORMED", "a reference is at most 100 characters without control characters").At("reference")
	errWhy       = fault.New(fault.Invalid, "REASON_MALFORMED", "give a reason of 1 to 500 characters without control characters").At("why")
)

// printable reports whether s is UTF-8 of least to most characters, none of them a control character.
func printable(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
