package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// limit is the most lines a file may have; generated ones apart.
const limit = 500

// environmentReaders may read the environment: programs, and what finds servers for tests.
var environmentReaders = []string{"cmd", "deploy", "test", "internal/testenv"}

// impure are imports that a pure domain has no use for: what they give is an argument there.
var impure = []string{"context", "math/rand", "math/rand/v2", "crypto/rand", "os", "net", "net/http", "log/slog", "sync"}

// eachFile parses every Go file that is not a test.
func eachFile(t *testing.T, f func(p pkg, name string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Errorf("%s/%s: %v", p.folder(), name, err)
				continue
			}
			f(p, p.folder()+"/"+name, fset, file)
		}
	}
}

func TestNoFileDoesWhatTheHouseForbids(t *testing.T) {
	eachFile(t, func(p pkg, name string, fset *token.FileSet, file *ast.File) {
		if ast.IsGenerated(file) || p.folder() == "internal/deps" {
			return
		}
		if lines := fset.File(file.Pos()).LineCount(); lines > limit {
			t.Errorf("%s: %d lines, more than %d: one idea a file", name, lines, limit)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: has an init function", name)
			}
		}
		reader := slices.ContainsFunc(environmentReaders, func(folder string) bool { return below(p.folder(), folder) })
		pure := strings.HasPrefix(p.folder(), "aggregates/")
		for _, call := range calls(file) {
			switch {
			case !reader && slices.Contains([]string{"os.Getenv", "os.LookupEnv", "os.Environ"}, call):
				t.Errorf("%s: calls %s; only programs read the environment", name, call)
			case pure && slices.Contains([]string{"time.Now", "time.Since", "time.Until", "uuid.New", "uuid.NewString", "nuid.Next"}, call):
				t.Errorf("%s: calls %s; time and ids are arguments", name, call)
			}
		}
		for _, spec := range file.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); pure && slices.Contains(impure, path) {
				t.Errorf("%s: imports %s; the domain is pure", name, path)
			}
		}
	})
}

// calls lists the functions called as package.Name.
func calls(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil {
				names = append(names, id.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return names
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	eachFile(t, func(p pkg, _ string, _ *token.FileSet, file *ast.File) {
		generated := ast.IsGenerated(file) && len(p.GoFiles) == 1
		said[p.folder()] = said[p.folder()] || generated || p.folder() == "internal/deps" ||
			file.Doc != nil && len(strings.Fields(file.Doc.Text())) >= 15
	})
	for folder, ok := range said {
		if !ok {
			t.Errorf("%s: has no package comment of a few sentences", folder)
		}
	}
}
