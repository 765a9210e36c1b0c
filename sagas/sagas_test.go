package sagas_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/payment"
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

func ctx() context.Context { return context.Background() }
