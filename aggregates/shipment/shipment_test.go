package shipment_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/shipment"
)

var (
	of     = shipment.Of{Shipment: "o1", Order: "o1", Customer: "c1"}
	parcel = shipment.Parcel{Carrier: "standard", Country: "GB", Lines: []shipment.Line{{Line: 1, SKU: "A", Quantity: 2}}}
	yes    = shipment.Answer{Accepted: true, Ref: "r", Tracking: "T"}
	no     = shipment.Answer{Code: "not_served", Reason: "no", Tracking: "T"}
)

func fold(events ...shipment.Event) shipment.State {
	var s shipment.State
	for _, e := range events {
		s = shipment.Evolve(s, e)
	}
	return s
}

func TestDecisions(t *testing.T) {
	requested := shipment.Requested{Of: of, Carrier: "standard", Country: "GB", Lines: parcel.Lines}
	scheduled := shipment.Scheduled{Of: of, Carrier: "standard", Ref: "r"}
	left := shipment.Dispatched{Of: of, Tracking: "T"}
	cancelling := shipment.CancelRequested{Of: of, Reason: "x"}
	gone := shipment.Cancelled{Of: of, Reason: "x"}
	for name, c := range map[string]struct {
		given  []shipment.Event
		decide func(shipment.State) ([]shipment.Event, error)
		want   []shipment.Event
		err    error
	}{
		"request":               {nil, request, []shipment.Event{requested}, nil},
		"request the cancelled": {[]shipment.Event{gone}, request, nil, shipment.ErrCancelled},
		"request again":         {[]shipment.Event{requested}, request, nil, nil},
		"booked":                {[]shipment.Event{requested}, book(yes), []shipment.Event{scheduled}, nil},
		"refused":               {[]shipment.Event{requested}, book(no), []shipment.Event{shipment.Refused{Of: of, Code: no.Code, Reason: no.Reason}}, nil},
		"booked too late":       {[]shipment.Event{requested, cancelling, gone}, book(yes), nil, nil},
		"tombstone":             {nil, cancel, []shipment.Event{gone}, nil},
		"cancel":                {[]shipment.Event{requested, scheduled}, cancel, []shipment.Event{cancelling}, nil},
		"cancel too late":       {[]shipment.Event{requested, scheduled, left}, cancel, nil, shipment.ErrDispatched},
		"it had left":           {[]shipment.Event{requested, scheduled, cancelling}, cancelled(no), []shipment.Event{left}, nil},
		"it is cancelled":       {[]shipment.Event{requested, scheduled, cancelling}, cancelled(yes), []shipment.Event{gone}, nil},
		"dispatch":              {[]shipment.Event{requested, scheduled}, dispatch, []shipment.Event{left}, nil},
		"dispatch unbooked":     {[]shipment.Event{requested}, dispatch, nil, shipment.ErrNotScheduled},
		"deliver":               {[]shipment.Event{requested, scheduled, left}, shipment.Deliver, []shipment.Event{shipment.Delivered{Of: of}}, nil},
		"deliver what stayed":   {[]shipment.Event{requested, scheduled}, shipment.Deliver, nil, shipment.ErrNotLeft},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.decide(fold(c.given...))
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("fault %v, want %v", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func request(s shipment.State) ([]shipment.Event, error)  { return shipment.Request(s, of, parcel) }
func cancel(s shipment.State) ([]shipment.Event, error)   { return shipment.RequestCancel(s, of, "x") }
func dispatch(s shipment.State) ([]shipment.Event, error) { return shipment.Dispatch(s, "T") }

func book(a shipment.Answer) func(shipment.State) ([]shipment.Event, error) {
	return func(s shipment.State) ([]shipment.Event, error) { return shipment.SettleBooking(s, a) }
}

func cancelled(a shipment.Answer) func(shipment.State) ([]shipment.Event, error) {
	return func(s shipment.State) ([]shipment.Event, error) { return shipment.SettleCancel(s, a) }
}

func TestTheEndIsTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shipment.State
		moves := []func(shipment.State) ([]shipment.Event, error){request, cancel, dispatch, book(yes), book(no), cancelled(yes), cancelled(no), shipment.Deliver}
		for range rapid.IntRange(1, 30).Draw(t, "moves") {
			events, err := rapid.SampledFrom(moves).Draw(t, "move")(s)
			if err != nil && len(events) > 0 {
				t.Fatalf("refused with %v and decided %v", err, events)
			}
			for _, e := range events {
				switch s.Status {
				case shipment.StatusRefused, shipment.StatusCancelled, shipment.StatusDelivered:
					t.Fatalf("%s is final, and then came %s", s.Status, e.Type())
				}
				s = shipment.Evolve(s, e)
			}
		}
	})
}
