package house

import (
	"slices"
	"strings"
	"testing"
)

// A rule says what packages below from may import of this module, besides what is below from itself. The longest from
// that fits decides. `x/*` means the folders directly below x, `x/...` x and everything below it.
type rule struct {
	from string
	may  []string
}

// table is the order of the folders: who may import whom. internal/pii (the form of sealed values) is a word of the domain, like money.
var table = []rule{
	{"internal", nil},
	{"aggregates/*", []string{"internal/fault", "internal/money", "internal/pii"}},
	{"aggregates", []string{"internal/..."}},
	{"eventstore", []string{"internal/..."}},
	{"eventstore/engine", []string{"internal/..."}},
	{"eventstore/server", []string{"eventstore/engine", "internal/..."}}, // never our client: they meet only on the wire
	{"eventstore/server/groups", []string{"internal/fault"}},             // pure: no log, no wire
	{"eventstore/eventstoretest", []string{"eventstore", "internal/..."}},
	{"relay", []string{"eventstore", "internal/..."}},
	{"feed", []string{"eventstore", "internal/..."}},
	{"commands", []string{"aggregates/...", "eventstore", "internal/..."}},
	{"sagas", []string{"feed", "commands", "aggregates/...", "eventstore", "internal/..."}},
	{"projections", []string{"feed", "aggregates/...", "eventstore", "internal/..."}},
	{"queries", []string{"aggregates/...", "eventstore", "internal/..."}},
	{"audit", []string{"eventstore", "aggregates/...", "commands", "internal/..."}},
	{"graph", []string{"commands", "queries", "internal/...", "aggregates/...", "eventstore"}}, // the last two for scalars
	{"console", []string{"internal/..."}},
	{"cmd", []string{"..."}},
	{"test", []string{"..."}},
	{"deploy", []string{"internal/..."}},
	{"docs", nil},
}

// walls are foreign packages that only some folders may know.
var walls = []struct{ foreign, only, why string }{
	{"github.com/EventStore/EventStore-Client-Go/v4/esdb", "eventstore", "its successor has another path: one place to change"},
	{"github.com/EventStore/EventStore-Client-Go/v4/protos", "eventstore eventstore/server", "the wire is known to the client and the server"},
	{"github.com/cockroachdb/pebble", "eventstore/engine", "the log's format is the engine's alone"},
	{"github.com/jackc/pgx", "internal/postgres internal/testenv internal/vault relay projections queries sagas commands audit cmd test", "graph and the domain know no database"},
	{"github.com/rabbitmq/amqp091-go", "internal/rabbit internal/telemetry cmd test", "reconnecting and confirming are written once"},
	{"github.com/99designs/gqlgen", "graph console cmd", "commands and queries do not know who calls"},
	{"google.golang.org/grpc", "eventstore eventstore/server internal/telemetry cmd test", "engine and domain have no wire"},
}

func TestWhoMayImportWhom(t *testing.T) {
	for _, p := range packages(t) {
		from := p.folder()
		if from == "internal/deps" { // pins library versions, holds no code
			continue
		}
		rule, ok := ruleFor(from)
		if !ok && from != "" {
			t.Errorf("%s: no rule in the table; a new folder needs its line", from)
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				checkWalls(t, from, imported)
				continue
			}
			to := inside(imported)
			if to == "internal/testenv" && from != "internal/testenv" && !below(from, "test") && !strings.HasSuffix(from, "test") {
				t.Errorf("%s imports internal/testenv outside its tests", from)
			}
			if !allowed(rule, to) {
				t.Errorf("%s imports %s: it may import %v", from, to, rule.may)
			}
		}
	}
}

func TestTheTableRefuses(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		want     bool
	}{
		{"internal/rabbit", "internal/fault", true},
		{"internal/rabbit", "eventstore", false},
		{"aggregates/order", "internal/money", true},
		{"aggregates/order", "aggregates/payment", false},
		{"aggregates/order", "internal/auth", false},
		{"aggregates", "aggregates/order", true},
		{"eventstore/server", "eventstore", false},
		{"eventstore/engine", "eventstore", false},
		{"eventstore/server", "eventstore/server/groups", true},
		{"eventstore/server/groups", "eventstore/engine", false},
		{"relay", "aggregates", false},
		{"queries", "projections", false},
		{"graph", "projections", false},
		{"projections/sub", "feed", true},
		{"cmd/annald", "graph", true},
	} {
		rule, ok := ruleFor(tc.from)
		if !ok || allowed(rule, tc.to) != tc.want {
			t.Errorf("%s -> %s: want %v", tc.from, tc.to, tc.want)
		}
	}
}

func checkWalls(t *testing.T, from, imported string) {
	t.Helper()
	for _, w := range walls {
		if !below(imported, w.foreign) && !strings.HasPrefix(imported, w.foreign+"/") {
			continue
		}
		if !slices.ContainsFunc(strings.Fields(w.only), func(folder string) bool { return fits(folder, from) }) {
			t.Errorf("%s imports %s: only %s may (%s)", from, imported, w.only, w.why)
		}
	}
}

// fits: a wall's folder covers its subfolders, save that eventstore is itself alone: engine and server have their own walls.
func fits(folder, from string) bool {
	return from == folder || folder != "eventstore" && below(from, folder) || folder == "eventstore" && from == "eventstore/eventstoretest"
}

func ruleFor(from string) (best rule, found bool) {
	for _, r := range table {
		prefix, direct := strings.CutSuffix(r.from, "/*")
		matches := below(from, prefix)
		if direct {
			matches = from != prefix && below(from, prefix)
		}
		if matches && len(r.from) >= len(best.from) {
			best, found = r, true
		}
	}
	return best, found
}

func allowed(r rule, to string) bool {
	// What is below from is its own; aggregates/* are each other's strangers.
	if !strings.HasSuffix(r.from, "/*") && r.from != "" && below(to, r.from) {
		return r.from != "eventstore" // engine and server are programs of their own
	}
	for _, may := range r.may {
		if may == "..." || may == to {
			return true
		}
		if prefix, ok := strings.CutSuffix(may, "/..."); ok && below(to, prefix) {
			return true
		}
	}
	return false
}

func below(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }
