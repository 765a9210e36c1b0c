package officialsuite

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outcome runs the copy and returns a line "pass NAME" or "skip NAME" for each test, sorted. It shows what failing tests printed.
func outcome(t *testing.T, dir string, skip []string, env ...string) []string {
	t.Helper()
	cmd := command(t, dir, "test", "-json", "-count=1", "-timeout=6m", "-skip="+strings.Join(skip, "|"), "./esdb")
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output() // it also fails if a test does: that is told by name below
	lines, output := parse(t, out)
	failed := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "fail ") })
	if err != nil {
		t.Errorf("go test: %v\n%s", err, stderr.Bytes())
	}
	if failed || err != nil {
		t.Log(output)
	}
	if !bytes.Equal(read(t, filepath.Join(dir, "go.sum")), read(t, filepath.Join(root, "go.sum"))) {
		t.Error("the suite was built with modules that go.sum does not pin: go get them here, so that it does")
	}
	return lines
}

// parse reads what `go test -json` writes.
func parse(t *testing.T, out []byte) (lines []string, output string) {
	t.Helper()
	said := map[string]*strings.Builder{}
	var all strings.Builder
	scan := bufio.NewScanner(bytes.NewReader(out))
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			t.Fatalf("go test -json wrote %q: %v", scan.Text(), err)
		}
		switch e.Action {
		case "output", "build-output":
			if said[e.Test] == nil {
				said[e.Test] = &strings.Builder{}
			}
			said[e.Test].WriteString(e.Output)
		case "pass", "fail", "skip":
			if e.Test != "" {
				lines = append(lines, e.Action+" "+e.Test)
			}
			if e.Action == "fail" && said[e.Test] != nil {
				all.WriteString(said[e.Test].String())
			}
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[len("pass "):], b[len("pass "):]) })
	return lines, all.String()
}

// expectations are what a list in testdata says.
type expectations struct {
	lines []string // "pass NAME" or "skip NAME", sorted by name
	out   []string // names of tests that are not run
}

// pinned reads a list: one test a line, # begins a comment. "out NAME # why" names a test that asks for what a store of this kind refuses.
func pinned(t *testing.T, name string) (x expectations) {
	t.Helper()
	for line := range strings.Lines(string(read(t, name))) {
		line, why, _ := strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if out, ok := strings.CutPrefix(line, "out "); ok {
			if strings.TrimSpace(why) == "" {
				t.Errorf("%s: %s is left out without a reason", name, out)
			}
			t.Logf("left out: %s, since%s", out, strings.TrimRight(why, "\n"))
			x.out = append(x.out, out)
		} else if line != "" {
			x.lines = append(x.lines, line)
		}
	}
	return x
}

// skips are the expressions, for go test, of everything that is not run.
func (x expectations) skips() (all []string) {
	names := slices.Concat(slices.Sorted(maps.Keys(leftOut)), x.out)
	for _, name := range names {
		var parts []string
		for part := range strings.SplitSeq(name, "/") {
			parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
		}
		all = append(all, strings.Join(parts, "/"))
	}
	return all
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
