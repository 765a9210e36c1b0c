package commands

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/notify/sink"
	provider "github.com/annalhq/annal/internal/providers/payment"
)

// A world is a house with providers around it. Every process has simulators of its own on the same books, as two real
// processes speak to the same companies.
type world struct {
	house
	dir  string
	sink *sink.Sink
}

// A staffed process is Handlers and the ends of its ports.
type staffed struct {
	*Handlers
	card    *provider.Simulator
	carrier *carrier.Simulator
	sms     *notify.Simulator
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{house: newHouse(t), dir: t.TempDir()}
	var err error
	if w.sink, err = sink.New(sink.Config{Dir: filepath.Join(w.dir, "mail")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.sink.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) start(t testing.TB) staffed {
	t.Helper()
	card, err := provider.NewSimulator(provider.SimulatorConfig{Path: filepath.Join(w.dir, "payments.jsonl"), Forgetful: true})
	must(t, err)
	parcels, err := carrier.NewSimulator(carrier.SimulatorConfig{Path: filepath.Join(w.dir, "parcels.jsonl")})
	must(t, err)
	sms, err := notify.NewSimulator(notify.SimulatorConfig{})
	must(t, err)
	mail, err := notify.NewSMTP(notify.SMTPConfig{Address: w.sink.Addr(), From: "The Shop <shop@annal.internal>", Security: notify.Plain})
	must(t, err)
	t.Cleanup(func() {
		_ = card.Close()
		_ = parcels.Close()
	})
	return staffed{card: card, carrier: parcels, sms: sms, Handlers: w.process(t, Ports{
		Payments: map[string]provider.Port{"card": card, "imported": provider.Imported{}},
		Carriers: map[string]carrier.Port{"standard": parcels, "imported": carrier.Imported{}},
		Channels: map[string]notify.Port{"mail": mail, "sms": sms, "push": sms},
	})}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	admin    = auth.Principal{Kind: auth.Staff, ID: "admin", Roles: []auth.Role{auth.RoleAdmin}, Method: "bearer"}
	importer = auth.Principal{Kind: auth.Importer, ID: "import", Roles: []auth.Role{auth.RoleImporter}, Method: "cli"}
	operator = auth.Internal("operator")
	home     = &customer.Address{Line1: "1 Sentinel Street", City: "London", PostalCode: "N1", Country: "GB"}
)

func buyer(id string) auth.Principal {
	return auth.Principal{Kind: auth.Customer, ID: id, Roles: []auth.Role{auth.RoleCustomer}, Method: "bearer"}
}

// stocked creates a product and a customer named ada.
func (s staffed) stocked(t testing.TB) {
	t.Helper()
	_, err := s.CreateProduct(t.Context(), admin, CreateProduct{SKU: "MUG", Name: "Mug", Price: money.Of(450, "GBP")})
	must(t, err)
	_, err = s.RegisterCustomer(t.Context(), buyer("ada"), RegisterCustomer{Name: "Ada Lovelace", Email: "ada@example.org", Phone: "+441234567890"})
	must(t, err)
}

func mugs(key string, n int64) PlaceOrder {
	return PlaceOrder{Meta: Meta{IdempotencyKey: key}, Lines: []WantedLine{{SKU: "MUG", Quantity: n}}, Currency: "GBP",
		Address: home, Tender: order.Tender{Token: provider.TokenOK}}
}

func (s staffed) ordered(t testing.TB, key string) PlacedOrder {
	t.Helper()
	placed, err := s.PlaceOrder(t.Context(), buyer("ada"), mugs(key, 2))
	must(t, err)
	return placed
}

// agree compares our events with the provider's books: per payment the same captured and refunded, one live
// authorisation and one capture at most, and nothing held for what is over.
func (s staffed) agree(t testing.TB) {
	t.Helper()
	books, err := s.card.Payments()
	must(t, err)
	for _, b := range books {
		ours, _, err := look(t.Context(), s.Handlers, payments, request{}, b.Key, closeLook)
		must(t, err)
		if b.Authorisations > 1 || b.Captures > 1 {
			t.Errorf("payment %s: %d authorisations, %d captures", b.Key, b.Authorisations, b.Captures)
		}
		refunded := int64(0)
		for _, r := range b.Status.Refunds {
			refunded += r.Minor
		}
		if b.Status.Captured.Minor != ours.Captured.Minor || refunded != ours.Refunded().Minor {
			t.Errorf("payment %s: we have %v and %v back, they have %v and %d", b.Key, ours.Captured, ours.Refunded(), b.Status.Captured, refunded)
		}
		held := b.Status.State == provider.Authorised
		if ended := ours.Status == payment.StatusVoided || ours.Status == payment.StatusFailed || ours.Status == payment.StatusDeclined; held && ended {
			t.Errorf("payment %s is %s, and they still hold it", b.Key, ours.Status)
		}
	}
}

func refusal(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
