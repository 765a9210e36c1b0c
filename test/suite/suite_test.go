package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheReportOfARealRun runs go test over a module of packages that pass, fail, skip, do not compile and end in the middle of a test.
func TestTheReportOfARealRun(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "go.mod", "module x\n\ngo 1.26\n")
	write(t, "good/a_test.go", "package a\nimport \"testing\"\nfunc TestGood(*testing.T) {}\n")
	write(t, "bad/a_test.go", "package a\nimport \"testing\"\nfunc TestBad(t *testing.T) { t.Error(\"seven is not eight\") }\n")
	write(t, "idle/a_test.go", "package a\nimport \"testing\"\nfunc TestIdle(t *testing.T) { t.Skip(\"no server here\") }\n")
	write(t, "broken/a_test.go", "package a\nfunc f() { undefined() }\n")
	write(t, "gone/a_test.go", "package a\nimport (\"os\";\"testing\")\nfunc TestGone(t *testing.T) { print(\"last words\\n\"); os.Exit(3) }\n")
	for _, tc := range []struct {
		packages []string
		well     bool
		says     []string
	}{
		{[]string{"./good"}, true, []string{"1 packages ok, 0 failed; 1 tests passed, 0 failed, 0 skipped"}},
		{[]string{"./good", "./bad"}, false, []string{"seven is not eight", "x/bad  FAILED", "FAILED: x/bad TestBad"}},
		{[]string{"./good", "./idle"}, false, []string{"NOT  x/idle TestIdle: a_test.go:3: no server here", "1 tests were skipped that may not be"}},
		{[]string{"./good", "./broken"}, false, []string{"undefined: undefined", "x/broken  FAILED"}},
		{[]string{"./good", "./gone"}, false, []string{"last words", "x/gone  FAILED"}},
		{[]string{"-run=^$", "./good"}, false, []string{"FAILED: no test passed"}},
		{[]string{"./good", "./nowhere"}, false, []string{"FAILED: go test: exit status 1"}},
	} {
		var out bytes.Buffer
		s := newSuite(&out)
		if err := run(t.Context(), s, append([]string{"-count=1"}, tc.packages...)); err != nil {
			s.trouble = append(s.trouble, err.Error())
		}
		if well := s.report(time.Second); well != tc.well {
			t.Errorf("%v: well is %v\n%s", tc.packages, well, &out)
		}
		for _, want := range tc.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v does not say %q:\n%s", tc.packages, want, &out)
			}
		}
	}
}

func TestASkipIsAllowedForItsReasonAlone(t *testing.T) {
	s := skip{"eventstore", "TestContractWithAStoreOfOnesOwn", "client_test.go:40: ANNAL_TEST_EVENTSTORE_URL names no EventStoreDB"}
	if !allowed(s) {
		t.Errorf("%+v is not allowed", s)
	}
	for _, other := range []skip{{"relay", s.test, s.reason}, {s.pack, "TestContract", s.reason}, {s.pack, s.test, "no server here"}} {
		if allowed(other) {
			t.Errorf("%+v is allowed", other)
		}
	}
}

func TestTheCommandLineIsTakenApart(t *testing.T) {
	common, groups := split(strings.Fields("-p 2 -- -race ./a -- ./b ./c"))
	if !slices.Equal(common, []string{"-p", "2"}) || len(groups) != 2 || !slices.Equal(groups[0], []string{"-race", "./a"}) || !slices.Equal(groups[1], []string{"./b", "./c"}) {
		t.Errorf("%q %q", common, groups)
	}
}

func TestWhatASilentRunIsAt(t *testing.T) {
	s := newSuite(&bytes.Buffer{})
	if got := s.waitingFor(); !strings.Contains(got, "compiling") {
		t.Error(got)
	}
	s.line([]byte(`{"Action":"start","Package":"github.com/annalhq/annal/feed"}`))
	if got := s.waitingFor(); got != "0 packages done; now feed" {
		t.Error(got)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
