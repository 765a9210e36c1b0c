package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/engine/admin"
	"github.com/annalhq/annal/internal/fault"
)

// fill puts some events into a store: a stream of the shop's, and one whose metadata keeps one event.
func fill(t *testing.T, db *engine.DB) {
	t.Helper()
	add := func(stream, kind, data string) {
		t.Helper()
		e := engine.Event{ID: engine.ID{1, byte(db.Last())}, Type: kind, JSON: true, Data: []byte(data)}
		if _, err := db.Append(t.Context(), stream, engine.ExpectAny, []engine.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		add("order-1", "order.placed.v1", `{}`)
		add("checkpoint-1", "checkpointed", `{}`)
	}
	for _, stream := range []string{"order-1", "checkpoint-1"} {
		add("$$"+stream, engine.MetadataType, `{"$maxCount":1}`)
	}
}

// operator is somebody at a prompt with the settings of one house.
type operator struct {
	t       *testing.T
	environ []string
	stderr  string
}

func newOperator(t *testing.T, home, adminAddress string) *operator {
	return &operator{t: t, environ: []string{"ANNAL_MODE=production", "ANNAL_HOME=" + home, "ANNAL_ADMIN_LISTEN=" + adminAddress}}
}

// run runs a command line, which must succeed, and decodes the line of JSON that it prints.
func (o *operator) run(line string) map[string]any {
	o.t.Helper()
	var out, stderr bytes.Buffer
	err := execute(context.Background(), strings.Fields(line), o.environ, &out, &stderr)
	o.stderr = stderr.String()
	result := map[string]any{}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &result)
	}
	if err != nil {
		o.t.Fatalf("annal %s: %v\n%s\n%s", line, err, &out, o.stderr)
	}
	return result
}

func (o *operator) refused(line, code string, words ...string) {
	o.t.Helper()
	var out, stderr bytes.Buffer
	err := execute(context.Background(), strings.Fields(line), o.environ, &out, &stderr)
	for _, w := range append(words, "") {
		if fault.CodeOf(err) != code || out.Len() > 0 || !strings.Contains(stderr.String(), w) {
			o.t.Errorf("annal %s: %v %q, want %s with %q", line, err, &stderr, code, w)
		}
	}
}

// serve is what annald does with a store at its admin listener.
func serve(t *testing.T, db *engine.DB, backups string) string {
	t.Helper()
	mux := http.NewServeMux()
	admin.New(db, admin.Config{Backups: backups, Keep: eventstore.Protected}).Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// Each verb does the same on a running store, through annald, and on a stopped one.
func TestStoreVerbsOnARunningAndOnAStoppedStore(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprint("running=", running), func(t *testing.T) {
			home := t.TempDir()
			db, err := engine.Open(filepath.Join(home, "eventstore"), engine.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			fill(t, db)
			address := serve(t, db, filepath.Join(home, "backups"))
			if !running {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			o := newOperator(t, home, address)
			check := func(line string, want map[string]any) {
				t.Helper()
				got := o.run(line)
				for k, v := range want {
					if got[k] != v {
						t.Errorf("annal %s: %s is %v, want %v", line, k, got[k], v)
					}
				}
				if asked := strings.Contains(o.stderr, "asking annald"); !strings.Contains(line, "restore") && asked != running {
					t.Errorf("annal %s: %q", line, o.stderr)
				}
			}
			check("store stat", map[string]any{"position": 12., "scavenged": 0., "format": 1., "appends_refused": false})
			check("store backup b1", map[string]any{"position": 12.})
			check("store scavenge --dry-run", map[string]any{"events": 4., "kept": 1.})
			o.refused("store scavenge", "UNCONFIRMED", "--yes")
			check("store scavenge --yes", map[string]any{"events": 4., "kept": 1.})
			check("store stat", map[string]any{"position": 12., "scavenged": 4., "format": 2.})
			check("store verify", map[string]any{"position": 12., "events": 8., "scavenged": 4.})
			check("store backup b1 --tail", map[string]any{"position": 12., "first": 0.})
			check("store restore b1 --to 10 --dir "+filepath.Join(home, "again")+" --yes", map[string]any{"position": 10., "events": 10., "backup_position": 12.})
			o.refused("store backup b1", "BACKUP_EXISTS")
			o.refused("store backup ../b1", "BACKUP_NAME")
			o.refused("store backup b1.partial", "BACKUP_NAME")
			o.refused("store restore b1 --to 0 --yes --dir "+filepath.Join(home, "x"), "FLAG_INVALID", "begin at 1")
			o.refused("store restore b1 --yes", "RESTORE_NOT_EMPTY", "not empty")
			o.refused("store restore nothing --yes", "BACKUP_MISSING")
			o.refused("store restore b1 --to 99 --yes --dir "+filepath.Join(home, "x"), "RESTORE_POSITION", "ends at position 12")
		})
	}
}

// What an operator may mistake is refused before anything is done.
func TestStoreVerbsRefuse(t *testing.T) {
	home := t.TempDir()
	o := newOperator(t, home, "127.0.0.1:1")
	o.refused("store stat", "STORE_MISSING", "no event store")
	o.refused("store backup b", "STORE_MISSING")
	if _, err := os.Stat(filepath.Join(home, "eventstore")); err == nil {
		t.Error("a store was made")
	}
	db, err := engine.Open(filepath.Join(home, "eventstore"), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	o.refused("store verify", "ADMIN_UNAVAILABLE", "127.0.0.1:1", "ANNAL_ADMIN_LISTEN")
	other, err := engine.Open(filepath.Join(home, "other"), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	o = newOperator(t, home, serve(t, other, home))
	o.refused("store verify", "OTHER_STORE")
}

// A page in a browser, a name that isn't loopback, and a caller from elsewhere get nothing.
func TestTheAdminListenerAnswersItsOwnMachineOnly(t *testing.T) {
	db, err := engine.Open(t.TempDir(), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	mux := http.NewServeMux()
	admin.New(db, admin.Config{Backups: t.TempDir()}).Register(mux)
	ask := func(method, path, remote, host, origin string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(`{"directory":"x"}`))
		r.RemoteAddr, r.Host = remote, host
		if origin != "" {
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	for _, tc := range []struct {
		method, path, remote, host, origin string
		want                               int
	}{
		{"GET", "/eventstore/stat", "127.0.0.1:5", "127.0.0.1:8081", "", 200},
		{"GET", "/eventstore/stat", "[::1]:5", "localhost:8081", "", 200},
		{"GET", "/eventstore/stat", "10.0.0.1:5", "127.0.0.1:8081", "", 403},
		{"GET", "/eventstore/stat", "127.0.0.1:5", "evil.example:8081", "", 403},
		{"POST", "/eventstore/scavenge", "127.0.0.1:5", "127.0.0.1:8081", "http://evil.example", 403},
		{"POST", "/eventstore/scavenge", "127.0.0.1:5", "127.0.0.1:8081", "", 409}, // another directory
		{"GET", "/eventstore/scavenge", "127.0.0.1:5", "127.0.0.1:8081", "", 405},
	} {
		if got := ask(tc.method, tc.path, tc.remote, tc.host, tc.origin); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

// The commands of docs/eventstore-operations.md, in the order of the page.
func TestThePageOfOperationsRuns(t *testing.T) {
	page, err := os.ReadFile("../../docs/eventstore-operations.md")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	db, err := engine.Open(filepath.Join(home, "eventstore"), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(home)
	o := newOperator(t, home, "127.0.0.1:1")
	n := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1) {
		for _, line := range strings.Split(strings.TrimSpace(string(block[1])), "\n") {
			command, ok := strings.CutPrefix(line, "annal ")
			if !ok {
				t.Errorf("the page has a command that is not ours: %s", line)
				continue
			}
			o.run(command)
			n++
		}
	}
	if n < 10 {
		t.Errorf("the page has %d commands", n)
	}
}
