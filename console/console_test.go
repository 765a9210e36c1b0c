package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
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
