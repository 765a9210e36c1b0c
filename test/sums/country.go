package main

import "strings"

// codes: the names that the data set uses, and their ISO 3166-1 codes (X.. and ZZ where it names no country).
const codes = `AE United Arab Emirates|AT Austria|AU Australia|BE Belgium|BH Bahrain|BM Bermuda|BR Brazil|CA Canada|CH Switzerland|CN China|CY Cyprus|
CZ Czech Republic|DE Germany|DK Denmark|ES Spain|EU European Community|FI Finland|FR France|GB United Kingdom|GI Gibraltar|GR Greece|HK Hong Kong|
HU Hungary|IE EIRE|IL Israel|IN India|IS Iceland|IT Italy|JP Japan|KR Korea|LB Lebanon|LT Lithuania|LU Luxembourg|MT Malta|MX Mexico|NG Nigeria|
NL Netherlands|NO Norway|NZ New Zealand|PL Poland|PT Portugal|RO Romania|SA Saudi Arabia|SE Sweden|SG Singapore|TH Thailand|TR Turkey|US USA|
XC Channel Islands|XW West Indies|ZA RSA|ZZ Unspecified`

// country returns the code of a name, or the name itself, which no API row will have.
func country(name string) string {
	for pair := range strings.SplitSeq(strings.ReplaceAll(codes, "\n", ""), "|") {
		if code, known, _ := strings.Cut(pair, " "); known == name {
			return code
		}
	}
	return name
}
