package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/annalhq/annal/cmd/annal/onlineretail"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/projections"
)

// A verb is one line that works in the house of newHouse, and what it prints.
type verb struct {
	line   string
	prints string // "table", on a terminal and JSON elsewhere; "json" everywhere; "word"; "server": needs PostgreSQL, its output is tested by itself
}

// verbs are all verbs of the tool, in an order in which they work.
var verbs = []verb{
	{"import report", "table"},
	{"import online-retail nothing.csv", "server"},
	{"projections digest", "server"},
	{"token issue --kind staff --id ada --role admin", "word"},
	{"streams read order-o1", "json"},
	{"store copy --to TARGET", "table"},
	{"store stat", "table"},
	{"store backup NAME", "table"},
	{"store verify", "table"},
	{"store restore b0 --dry-run --dir NAME", "table"},
	{"store scavenge --yes", "table"},
	{"store user add NAME --role reader --draw --file FILE", "word"},
	{"store user ls --file FILE", "table"},
	{"store user rm x0 --file FILE", "nothing"},
}

// newHouse returns the settings of a house in which every verb has something to do.
func newHouse(t *testing.T) (environ []string, target, users string) {
	t.Helper()
	home := t.TempDir()
	url, target := servertest.Start(t), servertest.Start(t)
	client, err := eventstore.Open(url, eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	event := eventstore.Event{ID: uuid.New(), Type: "thing.done.v1", Data: []byte(`{}`), Metadata: []byte(`{}`)}
	if _, err := client.Append(t.Context(), "order-o1", eventstore.NoStream, []eventstore.Event{event}); err != nil {
		t.Fatal(err)
	}
	db, err := engine.Open(filepath.Join(home, "eventstore"), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	rep := report{File: "sales.csv", Finished: true, ByReason: map[onlineretail.Reason]int{"a": 1}, NotImported: []onlineretail.Refused{{}}}
	if err := rep.save(filepath.Join(home, "imports", "d.json")); err != nil {
		t.Fatal(err)
	}
	environ = []string{"ANNAL_MODE=development", "ANNAL_HOME=" + home, "ANNAL_EVENTSTORE_URL=" + url, "ANNAL_ADMIN_LISTEN=127.0.0.1:1", "NO_COLOR=1"}
	users = filepath.Join(home, "users")
	for _, line := range []string{"store backup b0", "store user add x0 --role reader --draw --file " + users, "store user add y0 --role reader --draw --file " + users} {
		if err := execute(t.Context(), strings.Fields(line), environ, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	return environ, target, users
}

// leaves are the command paths of all verbs below c.
func leaves(c *cobra.Command) (paths []string) {
	if !c.HasSubCommands() {
		return []string{strings.TrimPrefix(c.CommandPath(), "annal ")}
	}
	for _, below := range c.Commands() {
		paths = append(paths, leaves(below)...)
	}
	return paths
}

// The rules that hold for all of them: data on standard output, a table where somebody looks and JSON where a program reads, no colours; faults
// in one line on standard error with their code, nothing on standard output, and the exit status of their kind.
func TestAllVerbsKeepTheRulesOfTheHouse(t *testing.T) {
	environ, target, users := newHouse(t)
	walked := map[string]bool{}
	for _, v := range verbs {
		path, _, _ := newRoot(&tool{}).Find(strings.Fields(v.line))
		walked[strings.TrimPrefix(path.CommandPath(), "annal ")] = true
		line := func(name string) []string {
			if strings.Contains(v.line, "--dir") {
				name = filepath.Join(t.TempDir(), name)
			}
			return strings.Fields(strings.NewReplacer("TARGET", target, "NAME", name, "FILE", users).Replace(v.line))
		}
		refused(t, append(line("n"), "--frob"), environ, "FLAG_INVALID annal: unknown flag: --frob")
		refused(t, append(line("n"), "one", "too", "many"), environ, "ARGUMENTS [ARGUMENTS]\n")
		if v.prints == "server" {
			continue
		}
		var piped, progress bytes.Buffer
		if err := execute(t.Context(), line("piped"), environ, &piped, &progress); err != nil || strings.Contains(progress.String(), "\x1b") {
			t.Errorf("annal %s: %v: %q", v.line, err, &progress)
		}
		if v.prints == "nothing" {
			if piped.Len() > 0 {
				t.Errorf("annal %s printed %q", v.line, &piped)
			}
			continue
		}
		shown := onATerminal(t, func(terminal *os.File) {
			if err := execute(t.Context(), line("shown"), environ, terminal, terminal); err != nil {
				t.Errorf("annal %s: %v", v.line, err)
			}
		})
		checkPrinted(t, v, piped.String(), shown)
	}
	for _, path := range leaves(newRoot(&tool{})) {
		if !walked[path] {
			t.Errorf("annal %s is not among the verbs of this test", path)
		}
	}
}

func checkPrinted(t *testing.T, v verb, piped, shown string) {
	t.Helper()
	isTable := strings.Contains(shown, "┌") && strings.Contains(shown, "│")
	switch {
	case strings.Contains(piped, "\x1b") || strings.Contains(strings.ReplaceAll(shown, "\x1b[K", ""), "\x1b"):
		t.Errorf("annal %s has colours: %q %q", v.line, piped, shown)
	case v.prints == "word" && (len(strings.Fields(piped)) != 1 || isTable):
		t.Errorf("annal %s printed %q, and %q on a terminal", v.line, piped, shown)
	case v.prints != "word" && !isJSON(piped):
		t.Errorf("annal %s printed no JSON into a pipe: %q", v.line, piped)
	case v.prints == "table" && !isTable, v.prints == "json" && !strings.HasPrefix(shown, "{"):
		t.Errorf("annal %s showed on a terminal: %q", v.line, shown)
	}
}

// isJSON reports whether text is one line of JSON or more.
func isJSON(text string) bool {
	in := json.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		var object map[string]any
		if err := in.Decode(&object); err != nil {
			return errors.Is(err, io.EOF) && n > 0
		}
	}
}

// What needs PostgreSQL to come about is printed by the same rule.
func TestDigestsAndTheEndOfAnImportKeepTheRule(t *testing.T) {
	printed := map[string]func(io.Writer) error{
		"projections digest": func(w io.Writer) error {
			c := &cobra.Command{}
			c.SetOut(w)
			return printDigests(c, []projections.ProjectionDigest{{Name: "orders", Rows: 2, Hash: "ab"}, {Name: "stock"}})
		},
		"import online-retail": (&report{File: "sales.csv", Finished: true, Seconds: 18.2, ByReason: map[onlineretail.Reason]int{"b": 2, "a": 1}, NotImported: []onlineretail.Refused{{}}}).print,
	}
	for line, print := range printed {
		var piped bytes.Buffer
		err := print(&piped)
		shown := onATerminal(t, func(terminal *os.File) { err = errors.Join(err, print(terminal)) })
		if err != nil {
			t.Error(err)
		}
		checkPrinted(t, verb{line, "table"}, piped.String(), shown)
		if a, b := strings.Index(shown, "not imported: a"), strings.Index(shown, "not imported: b"); line == "import online-retail" && (a < 0 || b < a || !strings.Contains(shown, "18.2 s")) {
			t.Errorf("%s", shown)
		}
	}
}

// The exit statuses that the help tells are those of the kinds.
func TestTheHelpTellsTheExitStatuses(t *testing.T) {
	long := newRoot(&tool{}).Long
	for kind, words := range map[fault.Kind]string{fault.Internal: "1 something that should not happen", fault.Invalid: "2 wrong input", fault.Unauthenticated: "3 who are you",
		fault.Denied: "4 not allowed", fault.Missing: "5 not there", fault.Conflict: "6 a conflict", fault.Exhausted: "7 no room", fault.Timeout: "8 too late", fault.Unavailable: "9 a server is away"} {
		if !strings.Contains(long, words) || !slices.Contains(strings.Fields(words), string(rune('0'+kind.Exit()))) {
			t.Errorf("%s: %d, %q", kind, kind.Exit(), words)
		}
	}
}
