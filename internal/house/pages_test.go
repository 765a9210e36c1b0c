package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// pageName finds names of pages in source.
	pageName = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_-]\.md\b`)
	// foreignPage finds pages that stood beside the project while it was begun, and never in it.
	foreignPage = regexp.MustCompile(`\b(DESIGN|AUDIT|RELIABILITY|STYLE)\b|section \d+ of the design`)
	// invariantNames and numbers find "invariant 4", "invariants 22 to 26, 29" and the like.
	invariantNames = regexp.MustCompile(`\b[Ii]nv(?:ariants?)?\b[ (.,]{1,3}(\d+(?:(?:, | and | to )\d+)*)|docs/invariants\.md, (\d+)`)
	numbers        = regexp.MustCompile(`\d+`)
	testName       = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
)

// eachSource reads every Go file of the tree, tests as well; name is relative to the root.
func eachSource(t *testing.T, f func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && path != root
		if entry.IsDir() && (hidden || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if name, err := filepath.Rel(root, path); err == nil && strings.HasSuffix(name, ".go") {
			f(filepath.ToSlash(name), text(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestThePagesThatSourceNamesExist(t *testing.T) {
	eachSource(t, func(name, text string) {
		for _, page := range pageName.FindAllString(text, -1) {
			if !exists(page) && !exists(filepath.Join(filepath.Dir(name), page)) && !exists(filepath.Join("docs", page)) {
				t.Errorf("%s names %s, which is not there", name, page)
			}
		}
		if name == "internal/house/pages_test.go" {
			return
		}
		if found := foreignPage.FindString(text); found != "" {
			t.Errorf("%s names %q, a page that is not of this tree", name, found)
		}
	})
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

func TestThePageOfInvariantsIsTrue(t *testing.T) {
	page := text(t, "docs/invariants.md")
	named := 0
	eachSource(t, func(name, text string) {
		for _, found := range invariantNames.FindAllStringSubmatch(text, -1) {
			for _, number := range numbers.FindAllString(found[1]+" "+found[2], -1) {
				named++
				if !strings.Contains(page, "\n| "+number+" | ") {
					t.Errorf("%s names invariant %s, which docs/invariants.md does not have", name, number)
				}
			}
		}
	})
	if named < 20 {
		t.Errorf("%d invariants named in source: they are not found any more", named)
	}
}

func TestTheTestsThatPagesNameExist(t *testing.T) {
	tests := map[string]bool{}
	eachSource(t, func(_, text string) {
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(text, -1) {
			tests[f[1]] = true
		}
	})
	for _, page := range []string{"docs/invariants.md", "docs/eventstore-protocol.md"} {
		found := testName.FindAllStringSubmatch(text(t, page), -1)
		if len(found) < 20 {
			t.Errorf("%s names %d tests: they are not found any more", page, len(found))
		}
		for _, f := range found {
			if !tests[f[1]] {
				t.Errorf("%s names %s, which is no test", page, f[1])
			}
		}
	}
}
