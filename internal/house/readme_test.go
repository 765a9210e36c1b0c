package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The session that the README shows is the one that CI runs: what stands between two marks of docs/session.sh.
func TestTheReadmesSessionIsTheScripts(t *testing.T) {
	const begin, end = "# ---- the README's session begins\n", "# ---- the README's session ends\n"
	_, rest, opened := strings.Cut(text(t, "docs/session.sh"), begin)
	session, _, closed := strings.Cut(rest, end)
	if !opened || !closed || len(session) < 500 {
		t.Fatal("docs/session.sh has lost the marks around the README's session")
	}
	if !strings.Contains(text(t, "README.md"), "\n```sh\n"+session+"```\n") {
		t.Errorf("README.md does not show the session of docs/session.sh word for word:\n%s", session)
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
