package officialsuite

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	clientModule = "github.com/EventStore/EventStore-Client-Go/v4"
	testify      = "github.com/stretchr/testify"
)

// root is this module's, seen from this folder, where tests run.
var root = filepath.Join("..", "..", "..")

// copySuite lays the client's tests out in a module of their own, and returns its folder. Modules and checksums are those of
// this repository's go.mod and go.sum, so nothing is resolved anew, and the client that is tested is the one that is used.
func copySuite(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	module := golist(t, root, "{{.Dir}}", clientModule)
	copyMatching(t, filepath.Join(module, "esdb", "*_test.go"), filepath.Join(dir, "esdb"))
	copyMatching(t, filepath.Join(module, "resources", "test", "*"), filepath.Join(dir, "resources", "test"))
	write(t, filepath.Join(dir, "esdb", "containers_test.go"), read(t, filepath.Join("testdata", "containers_test.go.txt")))
	line := regexp.MustCompile(`(?m)^module .*$`)
	write(t, filepath.Join(dir, "go.mod"), line.ReplaceAll(read(t, filepath.Join(root, "go.mod")), []byte("module officialsuite")))
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	edit := command(t, dir, "mod", "edit", "-require="+testify+"@"+golist(t, root, "{{.Version}}", testify))
	if out, err := edit.CombinedOutput(); err != nil {
		t.Fatalf("go mod edit: %v\n%s", err, out)
	}
	return dir
}

// golist asks what this module's graph says of another one; `go mod download` first, since a fresh clone may not have its files.
func golist(t *testing.T, root, format, module string) string {
	t.Helper()
	if out, err := command(t, root, "mod", "download", module).CombinedOutput(); err != nil {
		t.Fatalf("go mod download %s: %v\n%s", module, err, out)
	}
	out, err := command(t, root, "list", "-m", "-f", format, module).Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	return strings.TrimSpace(string(out))
}

func copyMatching(t *testing.T, pattern, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: nothing there (%v)", pattern, err)
	}
	for _, f := range files {
		write(t, filepath.Join(to, filepath.Base(f)), read(t, f))
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
