package officialsuite

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// translate replaces the vendor's positions in the copy of the suite, each by the one that the same event has in the seeded store. Positions
// stand in the listed expectations, and as literals in one file of tests.
func (s seeded) translate(t *testing.T, dir string) {
	t.Helper()
	listed := regexp.MustCompile(`"(commit|prepare)": (\d+)`)
	files, err := filepath.Glob(filepath.Join(dir, "resources", "test", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		n += s.replace(t, f, listed, `"%s": %d`)
	}
	if want := 2 * (6*10 + 2*30); n != want { // six lists of ten events, two of thirty positions, two numbers each
		t.Fatalf("%d positions in the suite's expectations, want %d", n, want)
	}
	literal := regexp.MustCompile(`(Commit|Prepare): ([\d_]+)`)
	if n := s.replace(t, filepath.Join(dir, "esdb", "read_all_test.go"), literal, "%s: %d"); n != 6 {
		t.Fatalf("%d positions in the suite's code, want 6", n)
	}
}

// replace replaces the number in each match of the expression; it returns how many there were.
func (s seeded) replace(t *testing.T, name string, x *regexp.Regexp, format string) (n int) {
	t.Helper()
	write(t, name, x.ReplaceAllFunc(read(t, name), func(match []byte) []byte {
		parts := x.FindSubmatch(match)
		old, err := strconv.ParseUint(strings.ReplaceAll(string(parts[2]), "_", ""), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ours, ok := s.positions[old]
		if !ok {
			t.Fatalf("%s: nothing is seeded for position %d", name, old)
		}
		n++
		return fmt.Appendf(nil, format, parts[1], ours)
	}))
	return n
}
