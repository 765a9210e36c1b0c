package sagas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/testenv"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/relay"
	"github.com/annalhq/annal/sagas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// A world is everything that an order's trip needs, on real servers: store, broker, database, relay, and the simulators' books.
type world struct {
	t        testing.TB
	storeURL string
	amqp     string
	access   postgres.Access
	store    *eventstore.Client
	handlers *commands.Handlers
	pool     *pgxpool.Pool // of the sagas' schema, as its owner
	money    *payment.Simulator
	parcels  *carrier.Simulator
	mail     *notify.Simulator
	admin    auth.Principal
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, storeURL: servertest.Start(t), amqp: testenv.RabbitMQ(t), admin: auth.Principal{Kind: auth.Staff, ID: "ada", Roles: []auth.Role{auth.RoleAdmin}, Method: "test"}}
	owned := []postgres.Schema{sagas.Owned(), vault.Owned(), relay.Owned()}
	ctx := context.Background()
	w.access.Owner = testenv.PostgresFrom(t, "sagas", func(url string) error {
		var errs []error
		for _, schema := range owned {
			errs = append(errs, postgres.Migrate(ctx, url, schema.Name, schema.Files))
		}
		return errors.Join(errs...)
	})
	if err := w.access.Grant(ctx, owned...); err != nil { // roles bear the database's name: no template holds them
		t.Fatal(err)
	}
	w.money, w.parcels, w.mail = must(payment.NewSimulator(payment.SimulatorConfig{})), must(carrier.NewSimulator(carrier.SimulatorConfig{})), must(notify.NewSimulator(notify.SimulatorConfig{}))
	t.Cleanup(func() {
		if err := errors.Join(w.money.Close(), w.parcels.Close(), w.mail.Close()); err != nil {
			t.Error(err)
		}
	})
	w.store = w.client()
	w.pool = must(postgres.Open(ctx, w.access.Owner, postgres.Config{Schema: sagas.Schema, MaxConns: 4}))
	t.Cleanup(w.pool.Close)
	w.handlers = w.newHandlers(w.store)
	return w
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w *world) client() *eventstore.Client {
	store := must(eventstore.Open(w.storeURL, eventstore.Config{Logger: quiet()}))
	w.t.Cleanup(func() { _ = store.Close() })
	return store
}

// open returns a pool that acts in the service's role, as production's do.
func (w *world) open(service postgres.Service, schema string) *pgxpool.Pool {
	pool := must(w.access.Open(context.Background(), service, postgres.Config{Schema: schema, MaxConns: 8}))
	w.t.Cleanup(pool.Close)
	return pool
}

func (w *world) newHandlers(store *eventstore.Client) *commands.Handlers {
	v := must(vault.New(w.open(postgres.Vault, vault.Schema), vault.Config{KEK: bytes.Repeat([]byte{7}, 32)}))
	return must(commands.New(store, v, commands.Ports{
		Payments: map[string]payment.Port{"card": w.money, "imported": payment.Imported{}},
		Carriers: map[string]carrier.Port{"standard": w.parcels, "imported": carrier.Imported{}},
		Channels: map[string]notify.Port{"mail": w.mail},
	}, commands.Config{}))
}

func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

// process runs a saga process of its own, with a worker for all services and a relay, until the test ends or stop is called.
func (w *world) process(cfg sagas.Config) (s *sagas.Sagas, stop func()) {
	w.t.Helper()
	store := w.client()
	broker := must(rabbit.Open(rabbit.Config{URL: w.amqp}))
	bus := must(rabbit.NewBus(broker, rabbit.BusConfig{Logger: quiet(), MaxBackoff: 500 * time.Millisecond}))
	cfg.Logger = quiet()
	s = must(sagas.New(store, broker, bus, w.open(postgres.Sagas, sagas.Schema), cfg))
	worker := must(sagas.NewWorker(bus, w.newHandlers(store), sagas.WorkerConfig{Logger: quiet()}))
	carry := must(relay.New(store, broker, w.open(postgres.Relay, relay.Schema), relay.Config{Logger: quiet(), MaxBackoff: 500 * time.Millisecond}))
	ctx, cancel := context.WithCancel(context.Background())
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(gctx) })
	group.Go(func() error { return worker.Run(gctx) })
	group.Go(func() error { return carry.Run(gctx) })
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := group.Wait(); err != nil {
			w.t.Errorf("a process ended: %v", err)
		}
		bus.Close()
		broker.Close()
	}
	w.t.Cleanup(stop)
	return s, stop
}

// stock creates a product with units on hand.
func (w *world) stock(sku string, units int64) {
	w.t.Helper()
	ctx := context.Background()
	_, err := w.handlers.CreateProduct(ctx, w.admin, commands.CreateProduct{SKU: product.SKU(sku), Name: "Thing " + sku, Price: money.Of(250, "GBP")})
	if err == nil && units > 0 {
		_, err = w.handlers.ReceiveStock(ctx, w.admin, commands.ReceiveStock{SKU: inventory.SKU(sku), Quantity: units})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// place places an order of a guest over one unit of each SKU.
func (w *world) place(token string, skus ...string) order.ID {
	w.t.Helper()
	c := commands.PlaceOrder{Guest: &commands.Guest{Name: "Ada", Email: "ada@example.org"}, Currency: "GBP",
		Address: &customer.Address{Line1: "1 High St", City: "London", PostalCode: "N1", Country: "GB"}, Tender: order.Tender{Token: token}}
	for _, sku := range skus {
		c.Lines = append(c.Lines, commands.WantedLine{SKU: sku, Quantity: 1})
	}
	placed, err := w.handlers.PlaceOrder(context.Background(), w.admin, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return placed.Order
}

// append writes an event as a process would that died right after.
func (w *world) append(s eventstore.Stream, at eventstore.Revision, e interface{ Type() string }) {
	w.t.Helper()
	data := must(aggregates.Encode(e))
	meta := must(eventstore.Metadata{Command: "test", Schema: eventstore.MetadataSchema}.Encode())
	_, err := w.store.Append(context.Background(), s, at, []eventstore.Event{{ID: uuid.New(), Type: e.Type(), Data: data, Metadata: meta}})
	if err != nil {
		w.t.Fatal(err)
	}
}

var errEnough = errors.New("enough")

// ends waits until the sagas of the orders ended, and returns each one's last event.
func (w *world) ends(orders ...order.ID) map[order.ID]string {
	w.t.Helper()
	ended, missing := map[order.ID]string{}, map[order.ID]bool{}
	for _, id := range orders {
		missing[id] = true
	}
	w.await(eventstore.Fulfilment, func(e eventstore.Recorded) bool {
		switch e.Type {
		case fulfilment.TypeCompleted, fulfilment.TypeCancelled, fulfilment.TypeStuck:
			ended[order.ID(e.Stream.ID())] = e.Type
			delete(missing, order.ID(e.Stream.ID()))
		}
		return len(missing) == 0
	})
	return ended
}

// await reads the category from its beginning until enough.
func (w *world) await(c eventstore.Category, enough func(eventstore.Recorded) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := w.store.Subscribe(ctx, 0, eventstore.Filter{Categories: []eventstore.Category{c}}, func(i eventstore.Item) error {
		if i.Event != nil && enough(*i.Event) {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		w.t.Fatalf("waited in vain for %s: %v", c, err)
	}
}

func (w *world) returned(id string) {
	w.await(eventstore.Return, func(e eventstore.Recorded) bool {
		return e.Stream.ID() == id && e.Type == returns.TypeCompleted
	})
}

// types returns the types of a stream's events.
func (w *world) types(s eventstore.Stream) (types []string) {
	w.t.Helper()
	for e, err := range w.store.ReadStream(context.Background(), s, 0) {
		if errors.Is(err, eventstore.ErrNoStream) {
			return nil
		}
		if err != nil {
			w.t.Fatal(err)
		}
		types = append(types, e.Type)
	}
	return types
}

// square checks the books of an order that ended: everything or nothing is in effect.
func (w *world) square(id order.ID, last string) {
	w.t.Helper()
	done := last == fulfilment.TypeCompleted
	has := func(s eventstore.Stream, typ string) bool { return slices.Contains(w.types(s), typ) }
	shipped := has(eventstore.Order.Stream(string(id)), order.TypeShipped)
	cancelled := has(eventstore.Order.Stream(string(id)), order.TypeCancelled)
	if shipped != done || cancelled == done {
		w.t.Errorf("%s ended with %s, shipped %v, cancelled %v", id, last, shipped, cancelled)
	}
	left := has(eventstore.Shipment.Stream(string(id)), "shipment.dispatched.v1")
	if left != done {
		w.t.Errorf("%s ended with %s, left %v", id, last, left)
	}
	for _, p := range must(w.money.Payments()) {
		if !strings.Contains(p.Key, string(id)) {
			continue
		}
		net := p.Status.Captured.Minor
		for _, back := range p.Status.Refunds {
			net -= back.Minor
		}
		if (net > 0) != done || p.Status.State == payment.Authorised || p.Captures > 1 {
			w.t.Errorf("%s ended with %s, its payment: %+v", id, last, p)
		}
	}
}

// indexed waits until the sagas' checkpoint is at or beyond the position.
func (w *world) indexed(p eventstore.Position) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		var at int64
		err := w.pool.QueryRow(ctx, `SELECT coalesce(max(position), 0) FROM checkpoint`).Scan(&at)
		if err != nil {
			w.t.Fatal(err)
		}
		if at >= int64(p) {
			tick.Stop()
			return
		}
	}
}

// index returns the rows without what a rebuild makes anew.
func (w *world) index() (rows []string) {
	w.t.Helper()
	found, err := w.pool.Query(context.Background(), `SELECT concat_ws(' ', stream, kind, orderid, status, open, code, reason, deadline, started, changed, position) FROM saga ORDER BY stream`)
	if err == nil {
		rows, err = pgx.CollectRows(found, pgx.RowTo[string])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// wipe destroys the vhost with every queue, exchange and message, and makes it anew.
func (w *world) wipe() {
	w.t.Helper()
	u := must(url.Parse(w.amqp))
	vhost, user := strings.TrimPrefix(u.Path, "/"), url.PathEscape(u.User.Username())
	w.manage(http.MethodDelete, "/api/vhosts/"+vhost, "")
	w.manage(http.MethodPut, "/api/vhosts/"+vhost, "{}")
	w.manage(http.MethodPut, "/api/permissions/"+vhost+"/"+user, `{"configure":".*","write":".*","read":".*"}`)
}

func (w *world) manage(method, path, text string) []byte {
	w.t.Helper()
	req := must(http.NewRequest(method, testenv.ManagementURL(w.t)+path, strings.NewReader(text)))
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		w.t.Fatal("the management API does not answer")
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotFound {
		w.t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	return body
}
