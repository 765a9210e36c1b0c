// Package house holds the rules of CONTRIBUTING.md that a machine can check, as plain tests over the source: who may
// import whom (imports_test.go), and what no file may do (rules_test.go). It holds no code. A rule that must give way
// gives way here, in its table, with the reason beside it.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/annalhq/annal"

// root is the module's, seen from this folder, where tests run.
var root = filepath.Join("..", "..")

// A pkg is what `go list` tells of one package.
type pkg struct {
	ImportPath  string
	Dir         string
	Imports     []string // without those of tests: a test may use what it needs
	GoFiles     []string
	TestGoFiles []string
}

// folder is the path inside the module, empty for the root.
func (p pkg) folder() string { return inside(p.ImportPath) }

// inside cuts the module's path off; what is foreign gives itself.
func inside(path string) string {
	if path == module {
		return ""
	}
	return strings.TrimPrefix(path, module+"/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles,TestGoFiles", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list names only %d packages", len(all))
	}
	return all
}
