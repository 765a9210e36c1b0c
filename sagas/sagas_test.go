package sagas_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/providers/simulator"
	"github.com/annalhq/annal/sagas"
)

func TestAnOrderTravelsToTheEnd(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	w.process(sagas.Config{})
	id := w.place(payment.TokenOK, "a")
	if got := w.ends(id); got[id] != fulfilment.TypeCompleted {
		t.Fatalf("%v: %v", got, w.types(eventstore.Fulfilment.Stream(string(id))))
	}
	want := map[eventstore.Stream][]string{
		eventstore.Order.Stream(string(id)):    {"order.placed.v1", "order.confirmed.v1", "order.shipped.v1"},
		eventstore.Payment.Stream(string(id)):  {"payment.opened.v1", "payment.authorisation-requested.v1", "payment.authorised.v1", "payment.capture-requested.v1", "payment.captured.v1"},
		eventstore.Shipment.Stream(string(id)): {"shipment.requested.v1", "shipment.scheduled.v1", "shipment.dispatched.v1"},
		eventstore.Inventory.Stream("a"):       {"inventory.received.v1", "inventory.reserved.v1", "inventory.shipped.v1"},
	}
	for stream, types := range want {
		if diff := cmp.Diff(types, w.types(stream)); diff != "" {
			t.Errorf("%s: %s", stream, diff)
		}
	}
	if sent := must(w.mail.Sent()); len(sent) != 2 {
		t.Errorf("mails: %v", sent)
	}
}

func TestWhatIsRefusedLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	w.stock("none", 0)
	w.process(sagas.Config{})
	short, declined, uncaptured := w.place(payment.TokenOK, "a", "none"), w.place(payment.TokenDeclined, "a"), w.place(payment.TokenCaptureDeclined, "a")
	for id, last := range w.ends(short, declined, uncaptured) {
		if last != fulfilment.TypeCancelled {
			t.Errorf("%s ended with %s", id, last)
		}
		if types := w.types(eventstore.Order.Stream(string(id))); !slices.Contains(types, order.TypeCancelled) {
			t.Errorf("%s: %v", id, types)
		}
	}
	reserved := 0
	for _, typ := range w.types(eventstore.Inventory.Stream("a")) {
		switch typ {
		case "inventory.reserved.v1":
			reserved++
		case "inventory.released.v1":
			reserved--
		}
	}
	if reserved != 0 {
		t.Errorf("%d reservations are left", reserved)
	}
	for _, p := range must(w.money.Payments()) {
		if p.Status.State == payment.Captured || p.Status.State == payment.Authorised {
			t.Errorf("a payment is left: %+v", p)
		}
	}
	if bookings := must(w.parcels.Bookings()); len(bookings) != 1 || bookings[0].Status.State != carrier.Cancelled {
		t.Errorf("bookings: %+v", bookings)
	}
}

func TestACancellationRacesTheTripAndIsWonOrLostWhole(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 100)
	w.process(sagas.Config{})
	var ids []order.ID
	for range 30 {
		ids = append(ids, w.place(payment.TokenOK, "a"))
	}
	for _, id := range ids { // the first are on their way already
		_, err := w.handlers.RequestCancel(t.Context(), w.admin, commands.RequestCancel{Order: id, Reason: "changed my mind"})
		if err != nil && !errors.Is(err, order.ErrAlreadyShipped) {
			t.Fatal(err)
		}
	}
	won := 0
	for id, last := range w.ends(ids...) {
		if last == fulfilment.TypeCancelled {
			won++
		}
		w.square(id, last)
	}
	if won == 0 {
		t.Error("no cancellation won")
	}
	t.Logf("%d of %d cancellations won", won, len(ids))
}

func TestAnUnknownOutcomeIsSettledNotGuessed(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 100)
	w.process(sagas.Config{})
	var ids []order.ID
	for _, token := range []string{payment.TokenErrorAfterSuccess, payment.TokenCaptureLost} {
		ids = append(ids, w.place(token, "a"))
	}
	for id, last := range w.ends(ids...) {
		if last != fulfilment.TypeCompleted {
			t.Errorf("%s ended with %s", id, last)
		}
		w.square(id, last)
	}
	for _, p := range must(w.money.Payments()) {
		if p.Authorisations > 1 || p.Captures > 1 {
			t.Errorf("%+v", p)
		}
	}
}

func TestTheDeadlineUndoesWhatNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	w.process(sagas.Config{Deadline: time.Second})
	id := w.place(payment.TokenTimeout, "a")
	last := w.ends(id)[id]
	if last != fulfilment.TypeCancelled {
		t.Fatalf("ended with %s", last)
	}
	w.square(id, last)
}

func TestAWipedBrokerCostsTimeOnly(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 100)
	w.process(sagas.Config{Retry: 500 * time.Millisecond})
	var ids []order.ID
	for i := range 60 {
		ids = append(ids, w.place(payment.TokenOK, "a"))
		if i == 20 || i == 50 {
			w.wipe()
		}
	}
	for id, last := range w.ends(ids...) {
		if last != fulfilment.TypeCompleted {
			t.Errorf("%s ended with %s", id, last)
		}
		w.square(id, last)
	}
}

func TestTwoProcessesAndAKilledOneDriveEachSagaOnce(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 200)
	cfg := sagas.Config{Retry: 500 * time.Millisecond}
	_, stop := w.process(cfg)
	w.process(cfg)
	var ids []order.ID
	for i := range 60 {
		if i == 30 {
			stop()
		}
		ids = append(ids, w.place(payment.TokenOK, "a"))
	}
	for id, last := range w.ends(ids...) {
		if last != fulfilment.TypeCompleted {
			t.Errorf("%s ended with %s", id, last)
		}
		w.square(id, last)
	}
}

func TestAReturnIsRefundedAndRestocked(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	w.process(sagas.Config{})
	id := w.place(payment.TokenOK, "a", "a")
	w.ends(id)
	back, err := w.handlers.ReturnLines(t.Context(), w.admin, commands.ReturnLines{Order: id, Lines: []commands.ReturnLine{{Line: 2, Quantity: 1}}, Reason: "too big"})
	if err != nil {
		t.Fatal(err)
	}
	w.returned(back.Return)
	if types := w.types(eventstore.Payment.Stream(string(id))); types[len(types)-1] != "payment.refunded.v1" {
		t.Errorf("%v", types)
	}
	if types := w.types(eventstore.Inventory.Stream("a")); types[len(types)-1] != "inventory.returned.v1" {
		t.Errorf("%v", types)
	}
}

func TestTheIndexIsRebuiltFromNothing(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 50)
	w.stock("none", 0)
	_, stop := w.process(sagas.Config{})
	ids := []order.ID{w.place(payment.TokenOK, "a"), w.place(payment.TokenOK, "none"), w.place(payment.TokenDeclined, "a")}
	w.ends(ids...)
	head := must(w.store.Head(t.Context()))
	w.indexed(head)
	before := w.index()
	stop()
	if _, err := w.pool.Exec(t.Context(), `TRUNCATE saga, checkpoint`); err != nil {
		t.Fatal(err)
	}
	w.process(sagas.Config{})
	w.indexed(head)
	if diff := cmp.Diff(before, w.index()); diff != "" || len(before) != 3 {
		t.Errorf("%d rows: %s", len(before), diff)
	}
}

func TestAStuckSagaWaitsForAnOperator(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	s, _ := w.process(sagas.Config{})
	w.parcels.Faults.Set("book", simulator.Fault{Mode: simulator.Decline})
	w.money.Faults.Set(payment.OpCancel, simulator.Fault{Mode: simulator.Down, Times: 1}) // the first void is tried again
	id := w.place(payment.TokenOK, "a")
	if last := w.ends(id)[id]; last != fulfilment.TypeCancelled {
		t.Fatalf("ended with %s", last)
	}
	stream := eventstore.Fulfilment.Stream(string(id))
	if err := s.Redrive(t.Context(), stream); !errors.Is(err, fulfilment.ErrNotStuck) {
		t.Errorf("an ended saga was redriven: %v", err)
	}
	if err := s.Redrive(t.Context(), "fulfilment-nobody"); !errors.Is(err, fulfilment.ErrNotStarted) {
		t.Errorf("nothing was redriven: %v", err)
	}
	if err := s.Redrive(t.Context(), "order-x"); fault.CodeOf(err) != "SAGA_STREAM_UNKNOWN" {
		t.Errorf("what is no saga was redriven: %v", err)
	}
}

func TestHistoryIsDeliveredAtItsOwnTimeAndNotifiesNobody(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	w.process(sagas.Config{})
	importer := auth.Principal{Kind: auth.Importer, ID: "import", Roles: []auth.Role{auth.RoleImporter}, Method: "test"}
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	placed, err := w.handlers.PlaceOrder(t.Context(), importer, commands.PlaceOrder{Meta: commands.Meta{At: at, Channel: "import"}, Guest: &commands.Guest{},
		Lines: []commands.WantedLine{{SKU: "a", Quantity: 2}}, Currency: "GBP", Country: "GB", Tender: order.Tender{Provider: "imported"}, Carrier: "imported"})
	if err != nil {
		t.Fatal(err)
	}
	w.ends(placed.Order)
	want := []string{"order.placed.v1", "order.confirmed.v1", "order.shipped.v1", "order.delivered.v1"}
	if diff := cmp.Diff(want, w.types(eventstore.Order.Stream(string(placed.Order)))); diff != "" {
		t.Error(diff)
	}
	for _, s := range []eventstore.Stream{eventstore.Order.Stream(string(placed.Order)), eventstore.Payment.Stream(string(placed.Order)), eventstore.Fulfilment.Stream(string(placed.Order))} {
		for e, err := range w.store.ReadStream(t.Context(), s, 0) {
			if err != nil {
				t.Fatal(err)
			}
			meta := must(eventstore.DecodeMetadata(e.Metadata))
			if !meta.OccurredAt.Equal(at) || meta.Correlation != placed.Correlation {
				t.Errorf("%s %s: at %s, correlation %s; want %s, %s", s, e.Type, meta.OccurredAt, meta.Correlation, at, placed.Correlation)
			}
		}
	}
	if sent := must(w.mail.Sent()); len(sent) != 0 {
		t.Errorf("mails: %v", sent)
	}
}

func TestACartWhoseCheckoutDiedHalfWayGetsItsOrder(t *testing.T) {
	w := newWorld(t)
	w.stock("a", 5)
	buyer, err := w.handlers.RegisterCustomer(t.Context(), w.admin, commands.RegisterCustomer{Name: "Ada", Email: "ada@example.org", Country: "GB"})
	if err != nil {
		t.Fatal(err)
	}
	who := auth.Principal{Kind: auth.Customer, ID: string(buyer.Customer), Roles: []auth.Role{auth.RoleCustomer}, Method: "test"}
	opened, err := w.handlers.OpenCart(t.Context(), who, commands.OpenCart{Currency: "GBP"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.handlers.AddItem(t.Context(), who, commands.AddItem{Cart: opened.Cart, SKU: "a", Quantity: 2}); err != nil {
		t.Fatal(err)
	}
	const id = "theorderofthecart"
	w.append(eventstore.Cart.Stream(string(opened.Cart)), 1, cart.CheckedOut{Cart: opened.Cart, Customer: who.ID, Order: id, Country: "GB", Tender: payment.TokenOK,
		Lines: []cart.Line{{SKU: "a", Name: "Thing a", Quantity: 2, UnitPrice: money.Of(250, "GBP")}}, Total: money.Of(500, "GBP")})
	w.process(sagas.Config{Retry: 200 * time.Millisecond})
	w.await(eventstore.Order, func(e eventstore.Recorded) bool { return e.Type == order.TypePlaced && e.Stream.ID() == id })
	w.await(eventstore.Fulfilment, func(e eventstore.Recorded) bool { return e.Stream.ID() == id })
}

// One-line orders over 50 products, from 32 buyers at once, until the last saga ended; everything in one process on this machine.
func BenchmarkOneLineOrders(b *testing.B) {
	w := newWorld(b)
	for i := range 50 {
		w.stock("sku"+strconv.Itoa(i), 1_000_000)
	}
	w.process(sagas.Config{})
	ids := make([]order.ID, b.N)
	b.ResetTimer()
	var group errgroup.Group
	group.SetLimit(32)
	for i := range b.N {
		group.Go(func() error {
			ids[i] = w.place(payment.TokenOK, "sku"+strconv.Itoa(i%50))
			return nil
		})
	}
	_ = group.Wait()
	placed := b.Elapsed()
	w.ends(ids...)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64(b.N)/placed.Seconds(), "placed/s")
	head := must(w.store.Head(b.Context()))
	w.indexed(head)
	b.StopTimer()
}
