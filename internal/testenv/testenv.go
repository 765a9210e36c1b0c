// Package testenv gives tests a PostgreSQL database and a RabbitMQ virtual host of their own, on real servers.
//
// The servers are those of `make servers`: their addresses are in $ANNAL_HOME/servers.env (default .annal below the
// module), and a variable of the same name in the environment wins. So `go test ./x` works by itself. A missing server
// fails the test and says what to run: it never skips.
//
// Invariants: nothing is shared between two tests, in one process or in many, except migrated templates, which are only
// ever cloned; a name is never used twice. Everything is removed when its test ends, and what a killed test left
// behind is removed by a later one, after two hours (the name tells the age). The package keeps no connection and no
// goroutine, so a leak check sees only the test's own.
//
//	url := testenv.Postgres(t)                                   // empty, 60 ms
//	url := testenv.PostgresFrom(t, "relay", migrateRelay)        // migrated once, then cloned
//	url := testenv.RabbitMQ(t)                                   // empty virtual host, 20 ms
package testenv

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tooOld is when a database or virtual host can't belong to a running test any more.
const tooOld = 2 * time.Hour

// patience bounds every single request to a server; on two cores under a full test run they can be slow.
const patience = 60 * time.Second

// setting returns a variable of the environment or of servers.env.
func setting(t testing.TB, name string) string {
	t.Helper()
	if value := os.Getenv(name); value != "" {
		return value
	}
	file := filepath.Join(home(t), "servers.env")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%s is not set and there are no servers here: run `make servers` (%v)", name, err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return value
		}
	}
	t.Fatalf("%s is neither set nor in %s: run `make servers`", name, file)
	return ""
}

// home is $ANNAL_HOME; a relative one is below the module, not below the tested package.
func home(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ANNAL_HOME")
	if dir == "" {
		dir = ".annal"
	}
	if filepath.IsAbs(dir) {
		return dir
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, dir)
		}
		if root == filepath.Dir(root) {
			t.Fatal("the test does not run inside the module: set ANNAL_HOME to an absolute path")
		}
		root = filepath.Dir(root)
	}
}

// freshName is prefix, the time, and enough chance for any number of processes.
func freshName(prefix string) string {
	return prefix + strconv.FormatInt(time.Now().Unix(), 36) + "_" + strings.ToLower(rand.Text()[:13])
}

// leftover reports whether name was made by freshName with this prefix and is too old.
func leftover(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && age(rest) > tooOld
}

// age reads what freshName wrote behind its prefix; what it did not write has no age.
func age(stamped string) time.Duration {
	stamp, _, ok := strings.Cut(stamped, "_")
	seconds, err := strconv.ParseInt(stamp, 36, 64)
	if !ok || err != nil {
		return 0
	}
	return time.Since(time.Unix(seconds, 0))
}
