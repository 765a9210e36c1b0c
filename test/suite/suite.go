package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const module = "github.com/annalhq/annal/"

// An event is a line of `go test -json` (go doc test2json; go help buildjson for what a build says).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

type pack struct {
	name    string
	ok      bool
	seconds float64
}

type skip struct{ pack, test, reason string }

// A suite is what is known of the run so far.
type suite struct {
	out     io.Writer
	running map[string]bool
	said    map[[2]string][]string // output of tests that have not ended, by package and test
	packs   []pack                 // those with tests that have ended
	skips   []skip
	passed  int
	failed  []string // package and test
	trouble []string // what failed beside tests
}

func newSuite(out io.Writer) *suite {
	return &suite{out: out, running: map[string]bool{}, said: map[[2]string][]string{}}
}

// line takes a line of go test's output; one that is no event is shown as it is.
func (s *suite) line(text []byte) {
	var e event
	if err := json.Unmarshal(text, &e); err != nil || e.Action == "" {
		fmt.Fprintf(s.out, "%s\n", strings.TrimRight(string(text), "\n"))
		return
	}
	e.Package = strings.TrimPrefix(e.Package, module)
	if e.Action == "build-output" {
		fmt.Fprint(s.out, e.Output)
		return
	}
	if e.Test == "" {
		s.ofPackage(e)
		return
	}
	s.ofTest(e)
}

func (s *suite) ofTest(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			s.said[key] = append(s.said[key], e.Output)
		}
		return
	case "fail":
		s.failed = append(s.failed, e.Package+" "+e.Test)
		s.show(key)
	case "skip":
		s.skips = append(s.skips, skip{e.Package, e.Test, reason(s.said[key])})
	case "pass":
		s.passed++
	default:
		return
	}
	delete(s.said, key)
}

func (s *suite) ofPackage(e event) {
	key := [2]string{e.Package, ""}
	switch e.Action {
	case "start":
		s.running[e.Package] = true
		return
	case "output":
		s.said[key] = append(s.said[key], e.Output)
		return
	case "fail":
		// A process that ended in the middle of a test leaves tests without an end: what they said last is the reason.
		for _, open := range slices.SortedFunc(maps.Keys(s.said), func(a, b [2]string) int { return strings.Compare(a[1], b[1]) }) {
			if open[0] == e.Package {
				s.show(open)
			}
		}
		s.packs = append(s.packs, pack{e.Package, false, e.Elapsed})
	case "pass":
		s.packs = append(s.packs, pack{e.Package, true, e.Elapsed})
	case "skip": // no test files
	default:
		return
	}
	delete(s.running, e.Package)
	maps.DeleteFunc(s.said, func(key [2]string, _ []string) bool { return key[0] == e.Package })
}

// show prints what a failed test said under its package's name.
func (s *suite) show(key [2]string) {
	fmt.Fprintf(s.out, "%s: %s\n", key[0], strings.Join(s.said[key], ""))
}

// reason is what a test said when it skipped itself.
func reason(said []string) string {
	var words []string
	for _, line := range said {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// waitingFor says what a silent run is at.
func (s *suite) waitingFor() string {
	done := fmt.Sprintf("%d packages done", len(s.packs))
	if len(s.running) == 0 {
		return done + "; compiling (with a cold build cache that takes minutes)"
	}
	return done + "; now " + strings.Join(slices.Sorted(maps.Keys(s.running)), ", ")
}

// report prints the end, and returns whether all is well.
func (s *suite) report(took time.Duration) bool {
	slices.SortFunc(s.packs, func(a, b pack) int { return cmp.Or(cmp.Compare(a.seconds, b.seconds), strings.Compare(a.name, b.name)) })
	fmt.Fprintln(s.out, "\nseconds  package")
	good := 0
	for _, p := range s.packs {
		mark := ""
		if p.ok {
			good++
		} else {
			mark = "  FAILED"
		}
		fmt.Fprintf(s.out, "%7.1f  %s%s\n", p.seconds, p.name, mark)
	}
	refused := s.tellSkips()
	fmt.Fprintf(s.out, "%.0f s in all, %d packages ok, %d failed; %d tests passed, %d failed, %d skipped\n",
		took.Seconds(), good, len(s.packs)-good, s.passed, len(s.failed), len(s.skips))
	if s.passed == 0 {
		s.trouble = append(s.trouble, "no test passed")
	}
	if refused > 0 {
		s.trouble = append(s.trouble, fmt.Sprintf("%d tests were skipped that may not be: nothing was proved by them", refused))
	}
	for _, list := range [][]string{s.failed, s.trouble} {
		for _, what := range list {
			fmt.Fprintln(s.out, "FAILED:", what)
		}
	}
	return len(s.failed) == 0 && len(s.trouble) == 0 && good == len(s.packs)
}

// tellSkips names them all and counts those that nobody allowed.
func (s *suite) tellSkips() (refused int) {
	if len(s.skips) == 0 {
		return 0
	}
	slices.SortFunc(s.skips, func(a, b skip) int { return strings.Compare(a.pack+" "+a.test, b.pack+" "+b.test) })
	fmt.Fprintln(s.out, "\nskipped  test, and why")
	for _, k := range s.skips {
		mark := "allowed"
		if !allowed(k) {
			refused++
			mark = "NOT"
		}
		fmt.Fprintf(s.out, "%7s  %s %s: %s\n", mark, k.pack, k.test, k.reason)
	}
	fmt.Fprintln(s.out)
	return refused
}
