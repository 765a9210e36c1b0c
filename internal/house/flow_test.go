package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// fileName finds names of files of this tree in a text: at least one folder and an ending that we use.
var fileName = regexp.MustCompile("`([a-zA-Z0-9_.-]+(?:/[a-zA-Z0-9_.-]+)+\\.(?:go|sql|graphqls|md|sh|yaml|yml|json))`")

func TestTheFilesThatFlowNamesExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "flow.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := fileName.FindAllSubmatch(text, -1)
	if len(named) < 8 {
		t.Errorf("docs/flow.md names %d files: it is to follow one order through all stages", len(named))
	}
	for _, name := range named {
		if _, err := os.Stat(filepath.Join(root, string(name[1]))); err != nil {
			t.Errorf("docs/flow.md names %s: %v", name[1], err)
		}
	}
}
