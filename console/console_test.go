package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/annalhq/annal/console"
)

func get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	handler, err := console.GraphiQL()
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result(), string(body)
}

var (
	references = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	fetches    = regexp.MustCompile(`(?:url\(\s*["']?|@import\s+["']?|import\(\s*["'])((?:https?:)?//[^"')]*)`)
)

func TestThePageNeedsNobodyElse(t *testing.T) {
	response, page := get(t, "/graphiql")
	if response.StatusCode != http.StatusOK || !strings.Contains(response.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	found := references.FindAllStringSubmatch(page, -1)
	if len(found) < 5 {
		t.Fatalf("the page refers to %d files only", len(found))
	}
	for _, m := range found {
		if m[1] == "data:," {
			continue
		}
		if !strings.HasPrefix(m[1], "/graphiql/") {
			t.Errorf("the page loads %s", m[1])
			continue
		}
		asset, body := get(t, m[1])
		if asset.StatusCode != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: %d", m[1], asset.StatusCode)
		}
		for _, f := range fetches.FindAllStringSubmatch(body, -1) {
			t.Errorf("%s fetches %s", m[1], f[1])
		}
		if strings.Contains(body, "sourceMappingURL") {
			t.Errorf("%s names a source map", m[1])
		}
	}
}

func TestWhatIsNotThereIsNotFoundAndNothingIsWritten(t *testing.T) {
	if response, _ := get(t, "/graphiql/no-such-file.js"); response.StatusCode != http.StatusNotFound {
		t.Errorf("got %d", response.StatusCode)
	}
	handler, err := console.GraphiQL()
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/graphiql", nil))
	if rec.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d", rec.Code)
	}
}

// harness runs start.js with the page's surroundings played, and prints the headers that the page would send for those of the tab.
const harness = `
let element;
globalThis.GraphiQL = { createFetcher: () => (params, options) => options.headers };
globalThis.React = { createElement: (_, props) => (element = props) };
globalThis.ReactDOM = { createRoot: () => ({ render() {} }) };
globalThis.document = { getElementById: () => null };
require("vm").runInThisContext(require("fs").readFileSync(0, "utf8"));
const sent = (headers) => JSON.stringify(element.fetcher({}, { headers }));
console.log(sent(JSON.parse(element.defaultHeaders)), sent({ authorization: "bearer" }), sent({ Authorization: "Bearer abc", "X-A": "1" }), JSON.stringify(element.fetcher({})));
`

// The tab's headers begin with "Authorization: Bearer " and no token, which the server refuses with 401.
func TestThePageSendsNoHeaderWithoutAToken(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node here to run the page's script with")
	}
	_, script := get(t, "/graphiql/start.js")
	run := exec.CommandContext(t.Context(), node, "-e", harness)
	run.Stdin = strings.NewReader(script)
	out, err := run.CombinedOutput()
	if want := `{} {} {"Authorization":"Bearer abc","X-A":"1"} {}` + "\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}
