package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/fault"
)

// odd is the API with two mutations that misbehave or do nothing; nothing of it reaches a store.
type odd struct{ *resolver }

type oddMutation struct{ exec.MutationResolver }

func (o odd) Mutation() exec.MutationResolver { return oddMutation{o.resolver.Mutation()} }

func (oddMutation) SetPreferences(context.Context, model.SetPreferencesInput) (*model.CustomerPayload, error) {
	return &model.CustomerPayload{Outcome: model.Outcome{UserErrors: []model.UserError{}}}, nil
}

func (oddMutation) RemoveAddress(_ context.Context, in model.RemoveAddressInput) (*model.CustomerPayload, error) {
	switch in.Label {
	case "panic":
		panic("SELECT secret FROM people WHERE name = 'sentinel'")
	case "internal":
		return nil, errors.New("pq: password sentinel")
	case "unavailable":
		return nil, fault.Wrap(errors.New("dial tcp sentinel"), fault.Unavailable, "STORE_UNAVAILABLE", "the event store does not answer; try again")
	}
	return nil, context.DeadlineExceeded
}

const noop = `mutation($in: SetPreferencesInput!) { setPreferences(input: $in) { customerId userErrors { code } } }`

func newOdd(t testing.TB, cfg Config, log *bytes.Buffer, registry prometheus.Registerer) http.Handler {
	t.Helper()
	d := Deps{Verify: verify, Registerer: registry}
	if log != nil {
		d.Logger = slog.New(slog.NewJSONHandler(log, nil))
	}
	h, err := newHandler(exec.NewExecutableSchema(exec.Config{Resolvers: odd{&resolver{}}}), d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatIsInternalIsMaskedAndLogged(t *testing.T) {
	var log bytes.Buffer
	api := newOdd(t, Config{}, &log, nil)
	const query = `mutation($in: RemoveAddressInput!) { removeAddress(input: $in) { customerId } }`
	for label, want := range map[string][2]string{"panic": {"INTERNAL", "PANIC"}, "internal": {"INTERNAL", "INTERNAL"},
		"unavailable": {"UNAVAILABLE", "STORE_UNAVAILABLE"}, "late": {"TIMEOUT", "DEADLINE_EXCEEDED"}} {
		r := send(t, api, ada, query, in(map[string]any{"label": label})).fails(want[0], want[1])
		if strings.Contains(r.raw, "sentinel") || strings.Contains(r.raw, "goroutine") {
			t.Errorf("%s is not masked: %s", label, r.raw)
		}
		if len(r.Errors[0].Extensions.TraceID) != 32 {
			t.Errorf("no trace id: %s", r.raw)
		}
	}
	if n := strings.Count(log.String(), "sentinel"); n != 2 {
		t.Errorf("panic and defect are logged once each, not %d times:\n%s", n, &log)
	}
}

func TestNothingOfARequestIsLogged(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	api := newOdd(t, Config{}, &log, registry)
	input := map[string]any{"mail": true, "sms": false, "push": false, "language": "sentinel"}
	send(t, api, "customer:ada:sentinel", `mutation sentinel($in: SetPreferencesInput!) { sentinel: setPreferences(input: $in) { customerId userErrors { code } } }`, in(input)).fine()
	send(t, api, "sentinel", noop, in(input)).fails("UNAUTHENTICATED", "TOKEN_INVALID")
	if s := log.String(); strings.Contains(s, "sentinel") || strings.Count(s, `"msg":"request"`) != 2 {
		t.Error(s)
	}
	if n, err := testutil.GatherAndCount(registry, "annal_graphql_requests_total", "annal_graphql_request_seconds"); err != nil || n != 4 {
		t.Errorf("%d series, %v", n, err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if _, err := newObserver(registry, slog.Default()); fault.CodeOf(err) != "METRICS_TWICE" {
		t.Error(err)
	}
}

func TestHTTPRefusals(t *testing.T) {
	api := newOdd(t, Config{}, nil, nil)
	const asks = `{"query":"{ me { kind } }"}`
	mutation := "/graphql?query=" + url.QueryEscape(`mutation { setPreferences(input: {mail: true, sms: true, push: true}) { customerId } }`)
	json := []string{"Content-Type", "application/json"}
	for name, tc := range map[string]struct {
		method, target, body string
		headers              []string
		status               int
		reason               string
	}{
		"form":            {"POST", "/graphql", "query={me{kind}}", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "MEDIA_TYPE_UNSUPPORTED"},
		"text":            {"POST", "/graphql", asks, []string{"Content-Type", "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED"},
		"multipart":       {"POST", "/graphql", asks, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "MEDIA_TYPE_UNSUPPORTED"},
		"no media type":   {"POST", "/graphql", asks, nil, 415, "MEDIA_TYPE_UNSUPPORTED"},
		"latin-1":         {"POST", "/graphql", asks, []string{"Content-Type", "application/json; charset=iso-8859-1"}, 415, "MEDIA_TYPE_UNSUPPORTED"},
		"batch":           {"POST", "/graphql", " [" + asks + "]", json, 400, "BATCHING_REFUSED"},
		"two values":      {"POST", "/graphql", asks + asks, json, 400, "BODY_MALFORMED"},
		"not JSON":        {"POST", "/graphql", `{"query":`, json, 400, "BODY_MALFORMED"},
		"variables":       {"POST", "/graphql", `{"query":"{me{kind}}","variables":[1]}`, json, 400, "BODY_MALFORMED"},
		"no query":        {"POST", "/graphql", `{}`, json, 400, "QUERY_MISSING"},
		"not UTF-8":       {"POST", "/graphql", "{\"query\":\"{ me { kind } } # \xff\"}", json, 400, "BODY_NOT_UTF8"},
		"too large":       {"POST", "/graphql", `{"query":"` + strings.Repeat(" ", 600<<10) + `"}`, json, 413, "BODY_TOO_LARGE"},
		"GET mutation":    {"GET", mutation, "", nil, 405, "METHOD_NOT_ALLOWED"},
		"PUT":             {"PUT", "/graphql", asks, json, 405, "METHOD_NOT_ALLOWED"},
		"two queries":     {"GET", "/graphql?query=%7Bme%7Bkind%7D%7D&query=x", "", nil, 400, "PARAMETER_MALFORMED"},
		"accept":          {"POST", "/graphql", asks, append([]string{"Accept", "text/html"}, json...), 406, "NOT_ACCEPTABLE"},
		"another site":    {"POST", "/graphql", asks, append([]string{"Sec-Fetch-Site", "cross-site"}, json...), 403, "CROSS_ORIGIN"},
		"another origin":  {"POST", "/graphql", asks, append([]string{"Origin", "https://evil.example"}, json...), 403, "CROSS_ORIGIN"},
		"basic":           {"POST", "/graphql", asks, append([]string{"Authorization", "Basic YTpi"}, json...), 401, "TOKEN_INVALID"},
		"a bad token":     {"POST", "/graphql", asks, append([]string{"Authorization", "Bearer nonsense"}, json...), 401, "TOKEN_INVALID"},
		"two tokens":      {"POST", "/graphql", asks, append([]string{"Authorization", "Bearer " + ada, "Authorization", "Bearer " + ada}, json...), 401, "TOKEN_INVALID"},
		"an empty token":  {"POST", "/graphql", asks, append([]string{"Authorization", "Bearer "}, json...), 401, "TOKEN_INVALID"},
		"deep JSON":       {"POST", "/graphql", `{"query":"{me{kind}}","variables":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, json, 400, "BODY_MALFORMED"},
		"a huge document": {"POST", "/graphql", `{"query":"{ me { kind } } #` + strings.Repeat("x", 17<<10) + `"}`, json, 200, "QUERY_TOO_LONG"},
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, api, tc.method, tc.target, "", tc.body, tc.headers...)
			if r.status != tc.status || len(r.Errors) != 1 || r.Errors[0].Extensions.Reason != tc.reason || r.Data != nil {
				t.Errorf("got %d %s", r.status, r.raw)
			}
			if tc.status == 405 && r.header.Get("Allow") == "" || tc.status == 401 && r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("headers %v", r.header)
			}
		})
	}
}

func TestMediaTypesAndStatus(t *testing.T) {
	api := newOdd(t, Config{}, nil, nil)
	for accept, want := range map[string]string{
		"": plainJSON, "*/*": plainJSON, "application/json": plainJSON, graphqlJSON: graphqlJSON,
		graphqlJSON + ", application/json;q=0.9": graphqlJSON, "application/json;q=0.1, " + graphqlJSON + ";q=0.2": graphqlJSON,
		"text/html, application/*;q=0.1": plainJSON, graphqlJSON + "; charset=utf-8": graphqlJSON,
	} {
		headers := []string{"Content-Type", "application/json; charset=UTF-8"}
		if accept != "" {
			headers = append(headers, "Accept", accept)
		}
		r := raw(t, api, http.MethodPost, "/graphql", "", `{"query":"{ me { kind } }"}`, headers...)
		if got := r.header.Get("Content-Type"); got != want+"; charset=utf-8" || r.fine().at("me.kind") != "anonymous" {
			t.Errorf("%q: %s %s", accept, got, r.raw)
		}
		bad := raw(t, api, http.MethodPost, "/graphql", "", `{"query":"{ nonsense }"}`, headers...)
		if status := map[string]int{plainJSON: 200, graphqlJSON: 400}[want]; bad.status != status || strings.Contains(bad.raw, `"data"`) {
			t.Errorf("%q: %d %s", accept, bad.status, bad.raw)
		}
	}
}

func TestLimits(t *testing.T) {
	api := newOdd(t, Config{}, nil, nil)
	hidden := newOdd(t, Config{HideSchema: true}, nil, nil)
	shallow := newOdd(t, Config{Limits: Limits{Depth: 2}}, nil, nil)
	fragments := `{ ...a0 } `
	for i := range 20 {
		fragments += fmt.Sprintf("fragment a%d on Query { ...a%d ...a%d ...a%d } ", i, i+1, i+1, i+1)
	}
	fragments += `fragment a20 on Query { me { kind } }`
	for name, tc := range map[string]struct {
		api           http.Handler
		query, reason string
	}{
		"depth":         {api, `{ a: node(id: "x") { ... on Cart { order { customer { addresses { address { lines } } } } } } }`, "ID_INVALID"},
		"too deep":      {shallow, `{ me { ...more } } fragment more on Viewer { customer { name } }`, "TOO_DEEP"},
		"aliases":       {api, `{ me { ` + many(31, "a%d: kind ") + `} }`, "TOO_MANY_ALIASES"},
		"root fields":   {api, `{ ` + many(11, "a%d: me { kind } ") + `}`, "TOO_MANY_ROOT_FIELDS"},
		"directives":    {api, `{ me { ` + many(21, "a%d: kind @skip(if: false) ") + `} }`, "TOO_MANY_DIRECTIVES"},
		"twice":         {api, `{ me { kind @skip(if: false) @skip(if: true) } }`, "GRAPHQL_VALIDATION_FAILED"},
		"tokens":        {api, `{ me { ` + strings.Repeat("kind ", 2100) + `} }`, "GRAPHQL_PARSE_FAILED"},
		"selections":    {api, `{ me { ` + strings.Repeat("kind ", 600) + `} }`, "TOO_MANY_FIELDS"},
		"cost":          {api, `{ a: orders(first: 100) { nodes { ` + many(26, "p%d: payment { amount { amount } } ") + `} } }`, "TOO_COSTLY"},
		"fragment bomb": {api, fragments, "TOO_MANY_ROOT_FIELDS"},
		"cycle":         {api, `{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`, "GRAPHQL_VALIDATION_FAILED"},
		"schema":        {hidden, `{ __schema { types { name } } }`, "INTROSPECTION_DISABLED"},
		"a guess":       {hidden, `{ ordes { nodes { id } } }`, "GRAPHQL_VALIDATION_FAILED"},
		"a guess arg":   {hidden, `{ order(idd: "x") { id } }`, ""},
	} {
		began := time.Now()
		r := send(t, tc.api, "", tc.query, nil)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if tc.reason != "" && (len(r.Errors) == 0 || r.Errors[0].Extensions.Reason != tc.reason || r.at("me") != nil) {
			t.Errorf("%s: %.600s", name, r.raw)
		}
		if strings.Contains(r.raw, "Did you mean") {
			t.Errorf("%s guesses: %s", name, r.raw)
		}
	}
	deep := `{ __type(name: "Order") { fields { type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { name } } } } } } } } } } }`
	send(t, api, "", deep, nil).fine()
	if r := send(t, api, "", `{ __schema { queryType { name } } }`, nil).fine(); r.at("__schema.queryType.name") != "Query" {
		t.Error(r.raw)
	}
	for _, v := range []any{1e308, strings.Repeat("9", 400), map[string]any{"a": []any{}}, []any{nil}, true} {
		r := send(t, api, "", `query($n: Int) { products(first: $n) { nodes { sku } } }`, map[string]any{"n": v})
		if len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "BAD_USER_INPUT" {
			t.Errorf("%v: %s", v, r.raw)
		}
	}
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestAnOperationThatIsNotThereIsTold(t *testing.T) {
	api := newOdd(t, Config{}, nil, nil)
	for name, want := range map[string]string{"": "the document has several operations; say in operationName which one to carry out", "C": `the document has no operation "C"`} {
		r := raw(t, api, http.MethodPost, "/graphql", "", `{"query":"query A { me { kind } } query B { me { kind } }","operationName":"`+name+`"}`, "Content-Type", "application/json")
		r.fails("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED")
		if len(r.Errors) > 0 && r.Errors[0].Message != want {
			t.Errorf("%q: %s", name, r.raw)
		}
	}
}

func TestTheWeightOfAnOperation(t *testing.T) {
	l := Limits{}.orDefault()
	for _, tc := range []struct {
		w    weight
		want string
	}{
		{weight{depth: 10, aliases: 30, directives: 20, fields: 10, cost: 5000}, ""}, {weight{depth: 11}, "TOO_DEEP"}, {weight{depth: 11, schema: true}, ""},
		{weight{depth: 17, schema: true}, "TOO_DEEP"}, {weight{aliases: 31}, "TOO_MANY_ALIASES"}, {weight{directives: 21}, "TOO_MANY_DIRECTIVES"},
		{weight{fields: 11}, "TOO_MANY_ROOT_FIELDS"}, {weight{cost: 5001}, "TOO_COSTLY"},
	} {
		if err := l.check(tc.w, false); (err == nil) != (tc.want == "") || err != nil && fault.CodeOf(err) != tc.want {
			t.Errorf("%+v: %v, want %q", tc.w, err, tc.want)
		}
	}
}

// The query that GraphiQL and other tools send (npm graphql, getIntrospectionQuery) is within the limits.
func TestToolsReadTheSchema(t *testing.T) {
	query := string(must(os.ReadFile(filepath.Join("testdata", "introspection.graphql"))))
	r := send(t, newOdd(t, Config{}, nil, nil), "", query, nil).fine()
	types, _ := r.at("__schema.types").([]any)
	for _, typ := range types {
		typ, _ := typ.(map[string]any)
		if name := fmt.Sprint(typ["name"]); !strings.HasPrefix(name, "__") && typ["description"] == nil {
			t.Errorf("%s has no description", name)
		}
	}
	if len(types) < 80 {
		t.Errorf("%d types only", len(types))
	}
}
