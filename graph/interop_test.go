//go:build interop

package graph

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// auditPackage is the version of npm graphql-http that we are held to.
const auditPackage = "graphql-http@1.23.1"

func TestTheAuditOfGraphQLOverHTTP(t *testing.T) {
	server := httptest.NewServer(newWorld(t).api)
	defer server.Close()
	dir := t.TempDir()
	script := must(os.ReadFile(filepath.Join("interop", "audit.mjs")))
	if err := os.WriteFile(filepath.Join(dir, "audit.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	run("npm", "install", "--no-save", "--no-audit", "--no-fund", auditPackage, "graphql@16.15.0")
	run("node", "audit.mjs", server.URL)
}
