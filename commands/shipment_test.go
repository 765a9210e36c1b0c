package commands

import (
	"testing"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/simulator"
)

func (s staffed) schedule(t testing.TB, o PlacedOrder) ScheduleShipment {
	t.Helper()
	state := s.orderOf(t, o.Order)
	return ScheduleShipment{Meta: Meta{IdempotencyKey: "ship-" + string(o.Order)}, Order: o.Order, Customer: "ada", Carrier: "standard",
		Country: state.Country, Name: state.Name, Address: state.Address, Lines: []shipment.Line{{Line: 1, SKU: "MUG", Quantity: 2}}}
}

func TestAParcelIsBookedOnceWhateverHappens(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	lost, dead := simulator.Fault{Mode: simulator.ErrorAfterSuccess}, simulator.Fault{Mode: simulator.Down}
	for name, faults := range map[string]map[string]simulator.Fault{
		"nothing goes wrong":      {},
		"killed after the intent": {carrier.OpBook: dead, carrier.OpGet: dead},
		"killed after booking":    {carrier.OpBook: lost, carrier.OpGet: dead},
		"the answer is lost":      {carrier.OpBook: lost},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.ordered(t, nameKey(name))
			c := s.schedule(t, o)
			for op, x := range faults {
				s.carrier.Faults.Set(op, x)
			}
			if _, err := s.ScheduleShipment(t.Context(), operator, c); err != nil && !fault.KindOf(err).Retryable() {
				t.Fatal(err)
			}
			s.carrier.Faults.Lift()
			got, err := w.start(t).ScheduleShipment(t.Context(), operator, c)
			must(t, err)
			equal(t, got.Status, shipment.StatusScheduled)
		})
	}
	books, err := s.carrier.Bookings()
	must(t, err)
	equal(t, len(books), 4)
	for _, b := range books {
		equal(t, b.Bookings, 1)
	}
}

func TestNothingLeavesUnpaidAndWhatLeftIsNotCancelled(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	_, err := s.ScheduleShipment(t.Context(), operator, s.schedule(t, o))
	must(t, err)
	_, err = s.DispatchShipment(t.Context(), operator, DispatchShipment{Order: o.Order})
	refusal(t, err, order.ErrNotConfirmed)
	_, err = s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: o.Order, Payment: "p", Shipment: "s"})
	must(t, err)
	dispatch := DispatchShipment{Meta: Meta{IdempotencyKey: "d"}, Order: o.Order}
	s.carrier.Faults.Set(carrier.OpDispatch, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
	if _, err := s.DispatchShipment(t.Context(), operator, dispatch); !fault.KindOf(err).Retryable() {
		t.Errorf("an unknown dispatch must be worth a retry, not %v", err)
	}
	// The carrier has it, we do not know yet, and somebody cancels.
	got, err := w.start(t).CancelShipment(t.Context(), operator, CancelShipment{Order: o.Order, Reason: "changed my mind"})
	refusal(t, err, shipment.ErrDispatched)
	if got.Status != shipment.StatusDispatched || got.Tracking == "" {
		t.Errorf("it left, and is %s with tracking %q", got.Status, got.Tracking)
	}
	again, err := s.DispatchShipment(t.Context(), operator, dispatch)
	must(t, err)
	equal(t, again.Tracking, got.Tracking)
	arrived, err := s.DeliverShipment(t.Context(), operator, DeliverShipment{Order: o.Order})
	must(t, err)
	equal(t, arrived.Status, shipment.StatusDelivered)
}

func TestShipmentsThatAreNotMade(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "refused")
	c := s.schedule(t, o)
	c.Country = carrier.NoCountry
	got, err := s.ScheduleShipment(t.Context(), operator, c)
	refusal(t, err, shipment.ErrRefused)
	equal(t, got.Code, "not_served")

	o = s.ordered(t, "tombstone")
	_, err = s.CancelShipment(t.Context(), operator, CancelShipment{Order: o.Order, Reason: "undone"})
	must(t, err)
	_, err = s.ScheduleShipment(t.Context(), operator, s.schedule(t, o))
	refusal(t, err, shipment.ErrCancelled)

	o = s.ordered(t, "unknown")
	s.carrier.Faults.Set(carrier.OpBook, simulator.Fault{Mode: simulator.ErrorAfterSuccess, Times: 1})
	s.carrier.Faults.Set(carrier.OpGet, simulator.Fault{Mode: simulator.Down, Times: 1})
	if _, err := s.ScheduleShipment(t.Context(), operator, s.schedule(t, o)); !fault.KindOf(err).Retryable() {
		t.Errorf("an unknown booking must be worth a retry, not %v", err)
	}
	got, err = s.CancelShipment(t.Context(), operator, CancelShipment{Order: o.Order, Reason: "undone"})
	must(t, err)
	equal(t, got.Status, shipment.StatusCancelled)
	st, err := s.carrier.Get(t.Context(), string(o.Order))
	must(t, err)
	equal(t, st.State, carrier.Cancelled)

	o = s.ordered(t, "erased")
	c = s.schedule(t, o)
	must(t, s.vault.Shred(t.Context(), "ada", pii.Fulfilment))
	got, err = s.ScheduleShipment(t.Context(), operator, c)
	refusal(t, err, shipment.ErrRefused)
	equal(t, got.Code, codeErased)
}
