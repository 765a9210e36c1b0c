package onlineretail

// countries maps the data set's names to ISO 3166-1 alpha-2; what is no country there gets a user-assigned code, so that every
// name has a code of its own and sums by country stay sums by name.
var countries = map[string]string{
	"Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Bermuda": "BM", "Brazil": "BR", "Canada": "CA",
	"Channel Islands": "XC", "China": "CN", "Cyprus": "CY", "Czech Republic": "CZ", "Denmark": "DK", "EIRE": "IE", "European Community": "EU",
	"Finland": "FI", "France": "FR", "Germany": "DE", "Gibraltar": "GI", "Greece": "GR", "Hong Kong": "HK", "Hungary": "HU", "Iceland": "IS",
	"India": "IN", "Israel": "IL", "Italy": "IT", "Japan": "JP", "Korea": "KR", "Lebanon": "LB", "Lithuania": "LT", "Luxembourg": "LU", "Malta": "MT",
	"Mexico": "MX", "Netherlands": "NL", "New Zealand": "NZ", "Nigeria": "NG", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "RSA": "ZA",
	"Romania": "RO", "Saudi Arabia": "SA", "Singapore": "SG", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH",
	"Thailand": "TH", "Turkey": "TR", "USA": "US", "United Arab Emirates": "AE", "United Kingdom": "GB", "Unspecified": "ZZ", "West Indies": "XW",
}
