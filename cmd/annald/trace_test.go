package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/annalhq/annal/internal/auth"
)

// A client is somebody who talks to a running daemon's API.
type client struct {
	t     *testing.T
	url   string
	token string
}

func as(t *testing.T, d *Daemon, p auth.Principal) client {
	t.Helper()
	seed, err := d.cfg.TokenSeed()
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.NewKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Issue(p, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return client{t: t, url: "http://" + d.HTTPAddr() + "/graphql", token: token}
}

func (c client) ask(traceparent, query string) string {
	c.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Traceparent", traceparent)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.Contains(string(text), `"errors"`) || strings.Contains(string(text), `"code"`) {
		c.t.Fatalf("%s\n%s", query, text)
	}
	return string(text)
}

// One trace goes from the HTTP request over saga, RabbitMQ and workers to the row of the read model.
func TestOneTraceFromTheRequestToTheRow(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	names := collect(t, id)

	d := launch(t, settings(t), "all")
	admin := as(t, d, auth.Principal{Kind: auth.Staff, ID: "ada", Roles: []auth.Role{auth.RoleAdmin}})
	admin.ask("", `mutation { createProduct(input: {sku: "MUG", name: "Mug", price: {amount: "7.50", currencyCode: "GBP"}}) { sku userErrors { code } } }`)
	admin.ask("", `mutation { receiveStock(input: {sku: "MUG", quantity: 5}) { sku userErrors { code } } }`)
	buyer := as(t, d, auth.Principal{Kind: auth.Customer, ID: "c-bea", Roles: []auth.Role{auth.RoleCustomer}})
	buyer.ask("", `mutation { registerCustomer(input: {name: "Bea", email: "bea@example.com"}) { customerId userErrors { code } } }`)

	buy(t, buyer, "00-"+id+"-00f067aa0ba902b7-01")
	missing := []string{"graphql", "eventstore.append", "send events", "process sagas.events", "send commands", "process payment.", "saga answer", "process projections.events", "COMMIT"}
	var seen []string
	for len(missing) > 0 {
		select {
		case name := <-names: // spans end a little after what they tell of
			seen = append(seen, name)
			missing = slices.DeleteFunc(missing, func(m string) bool { return strings.HasPrefix(name, m) })
		case <-time.After(10 * time.Second):
			t.Fatalf("the trace lacks %q; it has %q", missing, slices.Compact(slices.Sorted(slices.Values(seen))))
		}
	}
}

// collect is a collector of OTLP over HTTP: it hands out the names of the trace's spans as they are exported.
func collect(t *testing.T, trace string) <-chan string {
	t.Helper()
	names := make(chan string, 10_000)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collectorv1.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil {
			t.Error(err)
			return
		}
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					if hex.EncodeToString(span.GetTraceId()) == trace {
						names <- span.GetName()
					}
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	return names
}
