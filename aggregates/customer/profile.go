package customer

import (
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
)

// DefaultLanguage is the language of a customer who named none.
const DefaultLanguage = "en"

// The refusals of what a person typed. They never repeat it.
var (
	ErrName     = fault.New(fault.Invalid, "NAME_MALFORMED", "a name is 1 to 200 characters without control characters").At("name")
	ErrEmail    = fault.New(fault.Invalid, "EMAIL_MALFORMED", "an e-mail address looks like name@example.org, at most 254 characters").At("email")
	ErrPhone    = fault.New(fault.Invalid, "PHONE_MALFORMED", "a phone number is '+', the country's code and up to 15 digits in all; spaces, '-', '.', '(' and ')' may stand between").At("phone")
	ErrCountry  = fault.New(fault.Invalid, "COUNTRY_UNKNOWN", "a country is its ISO 3166-1 code of two capital letters, such as GB").At("country")
	ErrLanguage = fault.New(fault.Invalid, "LANGUAGE_MALFORMED", "a language is a BCP 47 tag, such as en or de-CH").At("language")
	ErrLabel    = fault.New(fault.Invalid, "LABEL_MALFORMED", "a label is 1 to 32 small letters, digits, spaces, '_' or '-', and begins with a letter or digit").At("label")
	ErrAddress  = fault.New(fault.Invalid, "ADDRESS_MALFORMED", "an address has a first line and a city; each part is at most 200 characters without control characters")
)

// An Address is where something is delivered. It exists in plaintext only on its way into the vault and out of it; its JSON
// is what is sealed, here and in orders.
type Address struct {
	Recipient  string `json:"recipient,omitzero"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitzero"`
	City       string `json:"city"`
	Region     string `json:"region,omitzero"`
	PostalCode string `json:"postalCode,omitzero"`
	Country    string `json:"country"` // ISO 3166-1 alpha-2
}

// Validate returns ErrAddress or ErrCountry with the path of the part that is wrong.
func (a Address) Validate() error {
	for _, part := range []struct {
		name, value string
		least       int
	}{
		{"recipient", a.Recipient, 0}, {"line1", a.Line1, 1}, {"line2", a.Line2, 0},
		{"city", a.City, 1}, {"region", a.Region, 0}, {"postalCode", a.PostalCode, 0},
	} {
		if !printable(part.value, part.least, 200) {
			return ErrAddress.At(part.name)
		}
	}
	if !ValidCountry(a.Country) {
		return ErrCountry
	}
	return nil
}

// ValidName reports whether s can be a person's or firm's name.
func ValidName(s string) bool { return printable(s, 1, 200) && strings.TrimSpace(s) != "" }

// ValidEmail reports whether s is one bare address of RFC 5322 with a domain, at most 254 bytes (RFC 5321).
func ValidEmail(s string) bool {
	if len(s) > 254 || !printable(s, 3, 254) {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == ""
}

// NormalEmail returns the form under which addresses are compared: all in lower case.
func NormalEmail(s string) string { return strings.ToLower(s) }

var phone = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

// ValidPhone reports whether s is a number of E.164, with or without the usual separators.
func ValidPhone(s string) bool { return len(s) <= 40 && phone.MatchString(NormalPhone(s)) }

// NormalPhone returns the form under which numbers are compared: without separators.
func NormalPhone(s string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(" -.()", c) {
			return -1
		}
		return c
	}, s)
}

var language = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

// ValidLanguage reports whether s has the form of a BCP 47 tag.
func ValidLanguage(s string) bool { return language.MatchString(s) }

var label = regexp.MustCompile(`^[a-z0-9][a-z0-9 _-]{0,31}$`)

// ValidLabel reports whether s can label an address.
func ValidLabel(s string) bool { return label.MatchString(s) }

// ISO 3166-1 alpha-2, officially assigned codes.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"

// ValidCountry reports whether s is an ISO 3166-1 alpha-2 code.
func ValidCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && strings.Contains(countries, s)
}

// printable reports whether s is UTF-8 of least to most characters, none of them a control character.
func printable(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
