package fulfilment

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/internal/money"
)

var deadline = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func placed(channel string) Started {
	return Started{Of: Of{Order: "o1", Customer: "c1"}, Lines: []Line{{Line: 1, SKU: "a", Quantity: 2}}, Total: money.Of(500, "GBP"),
		Channel: channel, Deadline: deadline}
}

// a trip applies what happens, one after the other, and returns the state and the names of the events after the start.
type trip struct {
	state  State
	events []Event
}

func begin(channel string) *trip {
	t := &trip{}
	t.add(Start(State{}, placed(channel)))
	t.events = nil
	return t
}

func (t *trip) add(events []Event) *trip {
	for _, e := range events {
		t.state = Evolve(t.state, e)
	}
	t.events = append(t.events, events...)
	return t
}

func (t *trip) ok(steps ...Step) *trip {
	for _, s := range steps {
		t.add(OnAnswer(t.state, Answer{Step: s, OK: true, Payment: "", Shipment: "", Tracking: ""}))
	}
	return t
}

func (t *trip) no(s Step, code string) *trip {
	return t.add(OnAnswer(t.state, Answer{Step: s, Code: code, Reason: "because"}))
}

func (t *trip) open() string {
	var open []string
	for _, c := range Outstanding(t.state) {
		open = append(open, string(c.Step))
	}
	return strings.Join(open, " ")
}

func TestTrips(t *testing.T) {
	cases := []struct {
		name   string
		trip   *trip
		status Status
		open   string
		code   string
	}{
		{"it begins with the reservation", begin("web"), Running, "reserve", ""},
		{"step by step", begin("web").ok(Reserve, Authorise, Schedule), Running, "capture", ""},
		{"telling and dispatching go side by side", begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm), Running, "notify-confirmed dispatch", ""},
		{"stock leaves after the parcel", begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm, Dispatch), Running, "notify-confirmed ship", ""},
		{"to the end", begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm, Dispatch, NotifyConfirmed, Ship, MarkShipped, NotifyShipped), StatusCompleted, "", ""},
		{"a mail that can't be sent stops nothing", begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm, Dispatch, Ship, MarkShipped).no(NotifyConfirmed, "X").no(NotifyShipped, "X"), StatusCompleted, "", ""},
		{"history is delivered and silent", begin("import").ok(Reserve, Authorise, Schedule, Capture, Confirm, Dispatch, Ship, MarkShipped, Deliver, MarkDelivered), StatusCompleted, "", ""},

		{"out of stock: nothing to undo but the order", begin("web").no(Reserve, "OUT_OF_STOCK"), Compensating, "cancel-order", OutOfStock},
		{"out of stock, told", begin("web").no(Reserve, "OUT_OF_STOCK").ok(CancelOrder, NotifyCancelled), StatusCancelled, "", OutOfStock},
		{"history is cancelled in silence", begin("import").no(Reserve, "OUT_OF_STOCK").ok(CancelOrder), StatusCancelled, "", OutOfStock},
		{"declined: the payment ended by itself", begin("web").ok(Reserve).no(Authorise, "PAYMENT_DECLINED"), Compensating, "release", PaymentDeclined},
		{"no carrier: payment, then stock", begin("web").ok(Reserve, Authorise).no(Schedule, "SHIPMENT_REFUSED"), Compensating, "void", NoCarrier},
		{"capture refused: shipment first", begin("web").ok(Reserve, Authorise, Schedule).no(Capture, "PAYMENT_FAILED"), Compensating, "cancel-shipment", PaymentDeclined},
		{"somebody asked before it was confirmed", begin("web").ok(Reserve, Authorise, Schedule, Capture).no(Confirm, "CANCELLATION_REQUESTED"), Compensating, "cancel-shipment", Requested},
		{"the whole way back", begin("web").ok(Reserve, Authorise, Schedule, Capture).no(Confirm, "ORDER_CANCELLED").ok(CancelShipment, Void, Release, CancelOrder, NotifyCancelled), StatusCancelled, "", "ORDER_CANCELLED"},
		{"stuck when it can't be undone", begin("web").ok(Reserve, Authorise).no(Schedule, "X").no(Void, "REFUND_REFUSED"), StatusStuck, "", NoCarrier},
		{"stuck when it can't be done", begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm, NotifyConfirmed, Dispatch).no(Ship, "NOT_RESERVED"), StatusStuck, "", "NOT_RESERVED"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := c.trip.state
			if s.Status != c.status || c.trip.open() != c.open || s.Code != c.code {
				t.Errorf("%s, open %q, code %q; want %s, %q, %q", s.Status, c.trip.open(), s.Code, c.status, c.open, c.code)
			}
		})
	}
}

func TestACancelUndoesAnOpenStepAndIgnoresItsLateAnswer(t *testing.T) {
	s := begin("web").ok(Reserve)
	s.add(OnCancelRequested(s.state, "changed my mind"))
	if s.open() != "void" { // the authorisation is unknown: it is voided, not waited for
		t.Fatalf("open: %s", s.open())
	}
	before := s.state
	if late := OnAnswer(s.state, Answer{Step: Authorise, OK: true}); late != nil {
		t.Errorf("a settled step's answer decided %v", late)
	}
	s.ok(Void, Release, CancelOrder, NotifyCancelled)
	if s.state.Status != StatusCancelled || s.state.Code != Requested {
		t.Errorf("%+v", s.state)
	}
	if diff := cmp.Diff(Compensating, before.Status); diff != "" {
		t.Error("Evolve changed the state that it was given", diff)
	}
	for _, step := range []Step{Reserve, Authorise, Void, CancelOrder} {
		if events := OnAnswer(s.state, Answer{Step: step, Code: "X"}); events != nil {
			t.Errorf("an ended saga decided %v", events)
		}
	}
}

func TestACancelThatMeetsADispatchAsksTheShipment(t *testing.T) {
	confirmed := func() *trip {
		s := begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm, NotifyConfirmed)
		return s.add(OnCancelRequested(s.state, "no"))
	}
	if s := confirmed().ok(CancelShipment, Void, Release, CancelOrder, NotifyCancelled); s.state.Status != StatusCancelled {
		t.Errorf("in time: %s", s.state.Status)
	}
	s := confirmed().no(CancelShipment, "SHIPMENT_DISPATCHED")
	if s.state.Status != Running || s.open() != "dispatch" {
		t.Fatalf("too late: %s, open %s", s.state.Status, s.open())
	}
	if again := OnCancelRequested(s.state, "no"); again != nil {
		t.Errorf("what left is turned round again: %v", again)
	}
	if s.ok(Dispatch, Ship, MarkShipped, NotifyShipped); s.state.Status != StatusCompleted {
		t.Errorf("too late: %s", s.state.Status)
	}
}

func TestTheDeadlineHoldsUntilTheOrderIsConfirmed(t *testing.T) {
	s := begin("web").ok(Reserve, Authorise)
	if events := OnDue(s.state, deadline.Add(-1)); events != nil {
		t.Errorf("too early: %v", events)
	}
	s.add(OnDue(s.state, deadline))
	if s.state.Code != DeadlinePassed || s.open() != "cancel-shipment" {
		t.Errorf("%s, open %s", s.state.Code, s.open())
	}
	if s := begin("web").ok(Reserve, Authorise, Schedule, Capture, Confirm); OnDue(s.state, deadline) != nil {
		t.Error("a confirmed order is cancelled by the deadline")
	}
}

func TestRedriveTriesTheStuckStepAgain(t *testing.T) {
	s := begin("web").ok(Reserve, Authorise).no(Schedule, "X").no(Void, "REFUND_REFUSED")
	redriven, err := Redrive(s.state)
	if err != nil {
		t.Fatal(err)
	}
	s.add(redriven)
	if s.state.Status != Compensating || s.open() != "void" {
		t.Fatalf("%s, open %s", s.state.Status, s.open())
	}
	if _, err := Redrive(s.state); err == nil {
		t.Error("redriven twice")
	}
	if s.ok(Void, Release, CancelOrder, NotifyCancelled); s.state.Status != StatusCancelled {
		t.Error(s.state.Status)
	}
	if _, err := Redrive(State{}); err == nil {
		t.Error("nothing was redriven")
	}
}

func TestStartingTwiceChangesNothing(t *testing.T) {
	if events := Start(begin("web").state, placed("web")); events != nil {
		t.Error(events)
	}
	if !slices.Equal(Outstanding(begin("web").state), issue(Reserve)) {
		t.Error("another start")
	}
}
