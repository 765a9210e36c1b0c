package queries_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/projections"
	"github.com/annalhq/annal/queries"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const storeID eventstore.StoreID = "store-1"

var (
	ann     = auth.Principal{Kind: auth.Customer, ID: "ann", Roles: []auth.Role{auth.RoleCustomer}, Method: "bearer"}
	bob     = auth.Principal{Kind: auth.Customer, ID: "bob", Roles: []auth.Role{auth.RoleCustomer}, Method: "bearer"}
	admin   = auth.Principal{Kind: auth.Staff, ID: "s1", Roles: []auth.Role{auth.RoleAdmin}, Method: "bearer"}
	auditor = auth.Principal{Kind: auth.Staff, ID: "s2", Roles: []auth.Role{auth.RoleAuditor}, Method: "bearer"}
	epoch   = time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)
)

// world is a database with the read models, the vault and a projector that is fed by hand.
type world struct {
	t          *testing.T
	pool       *pgxpool.Pool // as the owner: looks and cuts, never part of what is tested
	vault      *vault.Vault
	projector  *projections.Projector
	queries    *queries.Queries
	position   eventstore.Position
	statements atomic.Int64
}

func newWorld(t *testing.T, wait time.Duration) *world {
	t.Helper()
	ctx := context.Background()
	list, err := projections.All(projections.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	url := testenv.PostgresFrom(t, "queries", func(url string) error {
		if err := postgres.Migrate(ctx, url, vault.Schema, vault.Migrations()); err != nil {
			return err
		}
		pool, err := postgres.Open(ctx, url, postgres.Config{})
		if err != nil {
			return err
		}
		defer pool.Close()
		return projections.Prepare(ctx, pool, list)
	})
	access := postgres.Access{Owner: url}
	if err := access.Grant(ctx, append(projections.Owned(list), vault.Owned())...); err != nil { // roles bear the database's name
		t.Fatal(err)
	}
	w := &world{t: t}
	w.pool = w.open(postgres.Access{Owner: url, OneLogin: true}, postgres.Queries, postgres.Config{})
	if w.vault, err = vault.New(w.open(access, postgres.Vault, postgres.Config{}), vault.Config{KEK: bytes.Repeat([]byte{7}, 32)}); err != nil {
		t.Fatal(err)
	}
	history := func(context.Context, feed.Checkpoint, func(context.Context, feed.Batch) error) error { return nil }
	if w.projector, err = projections.New(w.open(access, postgres.Projector, postgres.Config{}), projections.Config{Projections: list, History: history}); err != nil {
		t.Fatal(err)
	}
	if w.queries, err = queries.New(w.open(access, postgres.Queries, postgres.Config{ReadOnly: true}), w.vault, w, queries.Config{Wait: wait}); err != nil {
		t.Fatal(err)
	}
	return w
}

// open returns a pool that acts as the service's of production does, and counts what it asks.
func (w *world) open(access postgres.Access, service postgres.Service, cfg postgres.Config) *pgxpool.Pool {
	w.t.Helper()
	ctx := context.Background()
	pool, err := access.Open(ctx, service, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	traced := pool.Config()
	pool.Close()
	traced.ConnConfig.Tracer = counter{&w.statements}
	if pool, err = pgxpool.NewWithConfig(ctx, traced); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return pool
}

// Head makes the world the store that lags are reckoned from.
func (w *world) Head(context.Context) (eventstore.Position, error) { return w.position, nil }

type counter struct{ n *atomic.Int64 }

func (c counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// happen lets events happen and be applied.
func (w *world) happen(stream eventstore.Stream, bodies ...interface{ Type() string }) {
	w.t.Helper()
	b := feed.Batch{From: w.position}
	for _, body := range bodies {
		data, err := aggregates.Encode(body)
		if err != nil {
			w.t.Fatal(err)
		}
		w.position += 10
		meta, err := eventstore.Metadata{OccurredAt: epoch.Add(time.Duration(w.position) * time.Second), Schema: 1}.Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		b.Events = append(b.Events, eventstore.Recorded{Stream: stream, Position: w.position, ID: uuid.New(), Type: body.Type(), Data: data, Metadata: meta})
	}
	w.apply(b)
}

// watermark moves the prefix without an event.
func (w *world) watermark() {
	b := feed.Batch{From: w.position}
	w.position += 10
	w.apply(b)
}

func (w *world) apply(b feed.Batch) {
	w.t.Helper()
	b.To = feed.Checkpoint{Position: w.position, Store: storeID, Categories: w.projector.Categories()}
	if n := len(b.Events); n > 0 {
		b.To.Last = b.Events[n-1].ID
	}
	if err := w.projector.Apply(context.Background(), b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) seal(subject string, field pii.Field, plain string) pii.Sealed {
	w.t.Helper()
	s, err := w.vault.Seal(context.Background(), pii.Subject(subject), pii.Fulfilment, field, []byte(plain))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// register registers a customer who can be found by e-mail.
func (w *world) register(id, email string) {
	w.t.Helper()
	w.happen(eventstore.Customer.Stream(id), customer.Registered{Customer: customer.ID(id), Name: w.seal(id, pii.Name, "Name of "+id), Email: w.seal(id, pii.Email, email), Language: "en"})
	if err := w.vault.Index(context.Background(), pii.Subject(id), pii.Email, customer.NormalEmail(email)); err != nil {
		w.t.Fatal(err)
	}
}

// order places an order of two lines, pays, ships and confirms it.
func (w *world) order(id, who string, at time.Time) {
	w.t.Helper()
	address, err := json.Marshal(customer.Address{Line1: "1 High Street", City: "Leeds", Country: "GB"})
	if err != nil {
		w.t.Fatal(err)
	}
	lines := []order.Line{{Line: 1, SKU: "a", Name: "A", Quantity: 2, UnitPrice: money.Of(255, "GBP")}, {Line: 2, SKU: "b", Name: "B", Quantity: 1, UnitPrice: money.Of(90, "GBP")}}
	total, pay := money.Of(600, "GBP"), payment.Of{Payment: payment.ID("p" + id), Order: id, Customer: who}
	w.happen(eventstore.Order.Stream(id), order.Placed{Order: order.ID(id), Number: "N" + id, Customer: who, Priority: order.Normal, Lines: lines, Total: total,
		Country: "GB", Name: w.seal(who, pii.Name, "Name of "+who), Email: w.seal(who, pii.Email, who+"@example.org"), Address: w.seal(who, pii.Address, string(address)),
		Language: "en", Tender: order.Tender{Provider: "card"}, Carrier: "standard", Channel: "web", PlacedAt: at})
	w.happen(eventstore.Payment.Stream("p"+id), payment.Opened{Of: pay, Amount: total, Provider: "card", Ref: "r"}, payment.Captured{Of: pay, Amount: total})
	w.happen(eventstore.Shipment.Stream("s"+id), shipment.Scheduled{Of: shipment.Of{Shipment: shipment.ID("s" + id), Order: id, Customer: who}, Carrier: "standard", Ref: "x"})
	w.happen(eventstore.Order.Stream(id), order.Confirmed{Order: order.ID(id), Customer: who, Country: "GB", Channel: "web", Lines: lines, Total: total,
		Payment: "p" + id, Shipment: "s" + id, PlacedAt: at})
}

func (w *world) orders(n int, who string) {
	w.t.Helper()
	for i := range n {
		w.order(fmt.Sprintf("%s%02d", who, i), who, epoch.Add(time.Duration(i/2)*time.Hour)) // pairs at one instant
	}
}

func (w *world) product(sku string) {
	w.t.Helper()
	w.happen(eventstore.Product.Stream(sku), product.Created{SKU: product.SKU(sku), Name: "Name of " + sku, Price: money.Of(255, "GBP")})
}
