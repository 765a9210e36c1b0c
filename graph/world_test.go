package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/projections"
	"github.com/annalhq/annal/queries"
)

func TestMain(m *testing.M) {
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))) // trace ids, as annald has them
	goleak.VerifyTestMain(m)
}

// A world is a shop with a real store, a real database and a projector that folds whatever is appended.
type world struct {
	t         testing.TB
	store     *eventstore.Client
	queries   *queries.Queries
	projector *projections.Projector
	keys      *vault.Vault
	url       string
	registry  *prometheus.Registry
	api       http.Handler
	logged    *bytes.Buffer
	statement *atomic.Int64 // SQL statements that the API's own pool ran
	stop      func()        // ends the projector
}

// counter counts statements.
type counter struct{ n *atomic.Int64 }

func (c counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	all := must(projections.All(projections.Settings{}))
	w := &world{t: t, registry: prometheus.NewRegistry(), statement: &atomic.Int64{}, logged: &bytes.Buffer{}}
	w.url = testenv.PostgresFrom(t, "graph", func(url string) error {
		pool, err := postgres.Open(ctx, url, postgres.Config{})
		if err != nil {
			return err
		}
		defer pool.Close()
		return errors.Join(postgres.Migrate(ctx, url, vault.Schema, vault.Migrations()), projections.Prepare(ctx, pool, all))
	})
	storeURL := servertest.Start(t)
	w.store = must(eventstore.Open(storeURL, eventstore.Config{}))
	t.Cleanup(func() { _ = w.store.Close() })
	w.keys = must(vault.New(w.pool(vault.Schema, nil), vault.Config{KEK: bytes.Repeat([]byte{7}, 32)}))
	w.projector = must(projections.New(w.pool("", nil), projections.Config{Projections: all, History: projections.FromStore(w.store, 1000)}))
	w.queries = must(queries.New(w.pool("", counter{w.statement}), w.keys, w.store, queries.Config{Wait: 10 * time.Second}))
	w.api = w.process()
	w.follow()
	return w
}

func (w *world) pool(schema string, tracer pgx.QueryTracer) *pgxpool.Pool {
	pool := must(postgres.Open(context.Background(), w.url, postgres.Config{Schema: schema, MaxConns: 4}))
	if tracer != nil {
		cfg := pool.Config()
		pool.Close()
		cfg.ConnConfig.Tracer = tracer
		pool = must(pgxpool.NewWithConfig(context.Background(), cfg))
	}
	w.t.Cleanup(pool.Close)
	return pool
}

// process is one more API process: command handlers with a cache of their own.
func (w *world) process() http.Handler {
	return must(New(w.deps(), Config{}))
}

func (w *world) deps() Deps {
	money, parcels, mail := must(payment.NewSimulator(payment.SimulatorConfig{})), must(carrier.NewSimulator(carrier.SimulatorConfig{})), must(notify.NewSimulator(notify.SimulatorConfig{}))
	w.t.Cleanup(func() { _, _, _ = money.Close(), parcels.Close(), mail.Close() })
	handlers := must(commands.New(w.store, w.keys, commands.Ports{
		Payments: map[string]payment.Port{"card": money}, Carriers: map[string]carrier.Port{"standard": parcels}, Channels: map[string]notify.Port{"mail": mail},
	}, commands.Config{}))
	return Deps{Commands: handlers, Queries: w.queries, Verify: verify}
}

// follow folds every event that is appended, until the test ends or stop is called.
func (w *world) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- w.queries.Run(ctx) }()
	consumer := must(feed.New(w.store, nil, w.projector, feed.Config{Name: "graph", Standalone: true, Categories: w.projector.Categories()}))
	go func() { done <- consumer.Run(ctx) }()
	ended := false
	w.stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
				w.t.Error(err)
			}
		}
	}
	w.t.Cleanup(w.stop)
}

// Tokens of the test: "<kind>:<id>:<role>".
func verify(token string) (auth.Principal, error) {
	parts := strings.Split(token, ":")
	if len(parts) != 3 {
		return auth.Principal{}, auth.ErrToken
	}
	return auth.Principal{Kind: auth.Kind(parts[0]), ID: parts[1], Roles: []auth.Role{auth.Role(parts[2])}, Method: "bearer"}, nil
}

const (
	ada     = "customer:ada:customer"
	bob     = "customer:bob:customer"
	admin   = "staff:root:admin"
	auditor = "staff:aud:auditor"
	store   = "staff:sam:warehouse"
	nobody  = ""
)

// A reply is what came back.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	raw    string
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code, Reason, TraceID string }
	}
}

func (w *world) ask(token, query string, variables map[string]any, headers ...string) reply {
	return send(w.t, w.api, token, query, variables, headers...)
}

func send(t testing.TB, api http.Handler, token, query string, variables map[string]any, headers ...string) reply {
	t.Helper()
	body := must(json.Marshal(map[string]any{"query": query, "variables": variables}))
	return raw(t, api, http.MethodPost, "/graphql", token, string(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

func raw(t testing.TB, api http.Handler, method, target, token, body string, headers ...string) reply {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	api.ServeHTTP(rec, r)
	got := reply{t: t, status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatalf("answer %d is not JSON: %v\n%s", rec.Code, err, rec.Body)
	}
	return got
}

// at walks the data: "placeOrder.order.lines.0.sku"; nil if there is nothing.
func (r reply) at(path string) any {
	var v any = r.Data
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i := int(part[0] - '0')
			if i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (r reply) text(path string) string {
	r.t.Helper()
	s, ok := r.at(path).(string)
	if !ok {
		r.t.Fatalf("there is no text at %s in %s", path, r.raw)
	}
	return s
}

// fine fails the test if there are errors.
func (r reply) fine() reply {
	r.t.Helper()
	if r.status != http.StatusOK || len(r.Errors) > 0 {
		r.t.Fatalf("status %d: %s", r.status, r.raw)
	}
	return r
}

// fails wants exactly one top-level error of the code and reason, with a trace id or not.
func (r reply) fails(code, reason string) reply {
	r.t.Helper()
	if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != code || r.Errors[0].Extensions.Reason != reason {
		r.t.Errorf("want one error %s %s, got %d: %s", code, reason, r.status, r.raw)
	}
	return r
}

// refused wants one userError of the code at the payload.
func (r reply) refused(payload, code string) reply {
	r.t.Helper()
	if got := r.fine().at(payload + ".userErrors.0.code"); got != code || r.at(payload+".receipt") != nil {
		r.t.Errorf("want a refusal %s, got %s", code, r.raw)
	}
	return r
}

const (
	createMutation   = `mutation($in: CreateProductInput!) { createProduct(input: $in) { sku receipt { position } userErrors { field message code } } }`
	receiveMutation  = `mutation($in: ReceiveStockInput!) { receiveStock(input: $in) { sku receipt { position } stock { available low } userErrors { field message code } } }`
	registerMutation = `mutation($in: RegisterCustomerInput!) { registerCustomer(input: $in) { customerId receipt { position } userErrors { field message code } } }`
	placeMutation    = `mutation($in: PlaceOrderInput!) { placeOrder(input: $in) { orderId receipt { position streamRevision stream commandId replayed } userErrors { field message code } } }`
)

func in(v map[string]any) map[string]any { return map[string]any{"in": v} }

// stocked creates a product with ten units and registers ada and bob.
func (w *world) stocked() {
	w.t.Helper()
	w.product("MUG", "4.50", "GBP")
	w.ask(admin, receiveMutation, in(map[string]any{"sku": "MUG", "quantity": 10})).fine()
	for _, who := range []string{ada, bob} {
		name := strings.Split(who, ":")[1]
		w.ask(who, registerMutation, in(map[string]any{"name": name, "email": name + "@example.org", "country": "GB"})).fine()
	}
}

func (w *world) product(sku, price, currency string) {
	w.t.Helper()
	r := w.ask(admin, createMutation, in(map[string]any{"sku": sku, "name": "Thing " + sku, "price": map[string]any{"amount": price, "currencyCode": currency}})).fine()
	if r.at("createProduct.sku") != sku {
		w.t.Fatal(r.raw)
	}
}

func mugs(key string, quantity any) map[string]any {
	return map[string]any{"idempotencyKey": key, "lines": []any{map[string]any{"sku": "MUG", "quantity": quantity}}, "currency": "GBP",
		"address":      map[string]any{"lines": []any{"1 Sentinel Street"}, "city": "London", "postalCode": "N1", "country": "GB"},
		"paymentToken": payment.TokenOK}
}
