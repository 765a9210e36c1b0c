package graph

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/graph/model"
)

// FuzzHTTP sends anything: whatever comes is answered with JSON in time, never with a 5xx, never with a sign of our inside.
func FuzzHTTP(f *testing.F) {
	for _, query := range []string{noop, `{ me { kind } }`, `query($n: Int) { me { ... on Viewer { k: kind @skip(if: true) } } }`, `{ __schema { types { name fields { name } } } }`,
		`fragment a on Query { me { kind } } { ...a ...a }`, `{ node(id: "x") { id } }`, `subscription { x }`, `"""doc""" { me { kind } }`} {
		for _, vars := range []string{`{}`, `{"in":{"mail":true,"sms":false,"push":false}}`, `{"n":1e999}`, `null`, `{"in":null}`} {
			body, err := json.Marshal(map[string]any{"query": query, "variables": json.RawMessage(vars)})
			if err != nil {
				continue
			}
			f.Add(true, string(body), "application/json", "*/*", "Bearer customer:ada:customer")
			f.Add(false, "query="+url.QueryEscape(query)+"&variables="+url.QueryEscape(vars), "", graphqlJSON, "")
		}
	}
	f.Add(true, `[{"query":"{me{kind}}"}]`, "application/json", "text/html", "Basic x")
	api := newOdd(f, Config{}, nil, nil)
	f.Fuzz(func(t *testing.T, post bool, payload, contentType, accept, authorization string) {
		r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(payload))
		if !post {
			r = httptest.NewRequest(http.MethodGet, "/graphql", nil)
			r.URL.RawQuery = payload
		}
		r.Header = http.Header{"Content-Type": {contentType}, "Accept": {accept}}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		rec := httptest.NewRecorder()
		began := time.Now()
		api.ServeHTTP(rec, r)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if rec.Code >= 500 || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if body := rec.Body.String(); strings.Contains(body, "goroutine ") || strings.Contains(body, ".go:") {
			t.Errorf("tells of the inside: %s", body)
		}
	})
}

// FuzzID reads any global id: what is accepted is what was written.
func FuzzID(f *testing.F) {
	f.Add(model.GlobalID("Order", "abc"))
	f.Add("T3JkZXI6")
	f.Fuzz(func(t *testing.T, global string) {
		typename, id, err := model.ParseID(global)
		if err == nil && model.GlobalID(typename, id) != global {
			t.Errorf("%q is %s %s", global, typename, id)
		}
	})
}
