package config

import (
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// near is how many letters a name may be away from the one that was meant: a pair that was swapped, a letter too many, an S.
const near = 3

// unknown tells of all names that are no settings at once, each with what may have been meant.
func unknown(names []string, known map[string]row) error {
	told := make([]string, len(names))
	for i, name := range names {
		told[i] = name
		if meant := nearest(name, known); meant != "" {
			told[i] += " (did you mean " + meant + "?)"
		}
	}
	are := " is not a setting"
	if len(names) > 1 {
		are = " are not settings"
	}
	return fault.Newf(fault.Invalid, "SETTING_UNKNOWN", "%s%s of Annal; `annald --print-config` lists them", strings.Join(told, ", "), are)
}

// nearest returns the setting whose name takes the fewest changes, the first in the alphabet of several; "" if none is near. The file of
// a secret is a name as well.
func nearest(name string, known map[string]row) string {
	best, least := "", near+1
	for other, r := range known {
		names := []string{other}
		if r.secret != "" {
			names = append(names, other+"_FILE")
		}
		for _, candidate := range names {
			if d := distance(name, candidate); d < least || d == least && candidate < best {
				best, least = candidate, d
			}
		}
	}
	return best
}

// distance is the number of letters to be put in, left out or replaced to make b of a (Levenshtein, 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
