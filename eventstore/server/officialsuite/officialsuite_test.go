// Package officialsuite runs the official Go client's own tests against the embedded event store.
//
// The client's module ships its tests, and they are other people's idea of what a server must do. They lie in the module cache, beside
// the code that this project uses, under the same checksum; nothing of them is in this repository. One file of theirs starts their server
// in a container: a file of ours takes its place (testdata/containers_test.go.txt) and asks this program for a store instead.
//
//	module cache: esdb/*_test.go, resources/ --copy--> temporary module <--containers_test.go-- testdata
//	                                                     |  go test -json
//	stores_test.go: engine + server on 127.0.0.1 <--HTTP-+  a store for each database that a test asks for
//	                                                     |
//	testdata/plain.txt, testdata/tls.txt  <--equal?------+  what passed and what was skipped, by name
//
// The outcome is pinned name by name, so a test that fails, vanishes or is newly skipped makes this one red. What the embedded store
// doesn't have is left out by name, with its reason (leftOut). Tests that want the vendor's filled database get its events from the
// suite's own expectations (seed_test.go); the positions in these, byte offsets in the vendor's log, are translated into ours one to one, as
// a server gives positions as it likes; ids, streams, revisions, types, times and order stay theirs.
package officialsuite

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// regexp2 keeps one clock for all matches with a time limit; it stops by itself a while after the last.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

// leftOut names the tests that ask for what the embedded store doesn't have. They are not run: the client repeats refused calls for minutes.
var leftOut = map[string]string{
	"TestProjections": "JavaScript projections run in a cluster only; here every program folds for itself",
	"TestPlugins":     "user certificates are a plugin of the commercial server; here users have passwords",
}

func TestTheOfficialSuitePasses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		env   string // EVENTSTORE_INSECURE, as the suite reads it
		files security
	}{
		{name: "plain", env: "true"},
		{name: "tls", env: "false", files: newSecurity(t)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := copySuite(t)
			seeded := seed(t, filepath.Join(dir, "resources", "test"))
			seeded.translate(t, dir)
			tc.files.install(t, dir)
			stores := serveStores(t, seeded.dir, tc.files)
			want := pinned(t, filepath.Join("testdata", tc.name+".txt"))
			got := outcome(t, dir, want.skips(), "STORES="+stores, "EVENTSTORE_INSECURE="+tc.env)
			if len(want.lines) < 60 {
				t.Errorf("testdata/%s.txt expects %d tests: some are missing", tc.name, len(want.lines))
			}
			for _, line := range without(want.lines, got) {
				t.Errorf("expected by testdata/%s.txt, not so now: %s", tc.name, line)
			}
			for _, line := range without(got, want.lines) {
				t.Errorf("so now, not expected by testdata/%s.txt: %s", tc.name, line)
			}
		})
	}
}

func TestWhatIsLeftOutIsThere(t *testing.T) {
	var source strings.Builder
	files, err := filepath.Glob(filepath.Join(golist(t, root, "{{.Dir}}", clientModule), "esdb", "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		source.Write(read(t, f))
	}
	for name, why := range leftOut {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(source.String(), "func "+name+"(t *testing.T)") {
				t.Fatalf("%s is not in the suite any more; it was left out because %s", name, why)
			}
			t.Skip(why)
		})
	}
}

// command is go in dir, with the registry settings of this program and no flags of its own. The copy's go.mod may be completed (testify's
// own requirement becomes an indirect one); its go.sum is ours, so no version is other than pinned.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
