package fulfilment

import (
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// Why a saga turns round; order.cancelled carries it.
const (
	OutOfStock      = "OUT_OF_STOCK"
	PaymentDeclined = "PAYMENT_DECLINED"
	NoCarrier       = "NO_CARRIER"
	Requested       = "REQUESTED"
	DeadlinePassed  = "DEADLINE"

	askedToCancel = "CANCELLATION_REQUESTED" // the order's own refusal to be confirmed
)

// The refusals of an operator's wish.
var (
	ErrNotStarted = fault.New(fault.Missing, "SAGA_NOT_FOUND", "there is no fulfilment of this order")
	ErrNotStuck   = fault.New(fault.Conflict, "SAGA_NOT_STUCK", "the saga is not stuck; what is outstanding is sent again by its timer")
)

// Answer is the outcome of one step's command.
type Answer struct {
	Step     Step
	OK       bool
	Code     string // of the refusal
	Reason   string // of the refusal, for people
	Payment  string // what came of it, where the step makes one
	Shipment string
	Tracking string
}

// Start begins the saga; again it changes nothing.
func Start(s State, of Started) []Event {
	if s.Status != None {
		return nil
	}
	of.Issued = issue(Reserve)
	return []Event{of}
}

// OnAnswer takes the answer of a command. One whose step is not open changes nothing.
func OnAnswer(s State, a Answer) []Event {
	if s.Ended() || s.Steps[a.Step] != Open {
		return nil
	}
	d := &decision{state: s}
	if a.OK {
		d.succeeded(a)
	} else {
		d.refused(a)
	}
	d.end()
	return d.events
}

// OnCancelRequested turns the saga round, unless the parcel has left or it is on its way back already.
func OnCancelRequested(s State, reason string) []Event {
	d := &decision{state: s}
	if s.Status == Running && !s.left() {
		d.turn(Requested, reason)
	}
	return d.events
}

// OnDue turns a saga round that was not confirmed by its deadline.
func OnDue(s State, now time.Time) []Event {
	d := &decision{state: s}
	if s.Status == Running && s.Steps[Confirm] != Succeeded && !s.left() && !now.Before(s.Started.Deadline) {
		d.turn(DeadlinePassed, "the order could not be fulfilled in time")
	}
	return d.events
}

// Redrive has the stuck step tried again, under the same command id. Faults: ErrNotStarted, ErrNotStuck.
func Redrive(s State) ([]Event, error) {
	switch s.Status {
	case None:
		return nil, ErrNotStarted
	case StatusStuck:
		return []Event{Redriven{Of: s.Started.Of, Step: s.StuckAt, Issued: issue(s.StuckAt)}}, nil
	}
	return nil, ErrNotStuck
}

// left reports whether the parcel is known to be beyond undoing.
func (s State) left() bool {
	return s.Steps[Dispatch] == Succeeded || s.Steps[CancelShipment] == Refused
}

// A decision gathers events, and the state after them.
type decision struct {
	state  State
	events []Event
}

func (d *decision) add(e Event) {
	d.events = append(d.events, e)
	d.state = Evolve(d.state, e)
}

func (d *decision) of() Of { return d.state.Started.Of }

func (d *decision) succeeded(a Answer) {
	e := StepSucceeded{Of: d.of(), Step: a.Step, Payment: a.Payment, Shipment: a.Shipment, Tracking: a.Tracking}
	switch {
	case a.Step.notifies():
	case d.state.Status == Running:
		e.Issued = issue(d.state.next(a.Step)...)
	case d.state.Status == Compensating:
		e.Issued = issue(Evolve(d.state, e).undo())
	}
	d.add(e)
}

func (d *decision) refused(a Answer) {
	d.add(StepRefused{Of: d.of(), Step: a.Step, Code: a.Code, Reason: a.Reason})
	s := d.state
	switch {
	case a.Step.notifies():
	case a.Step.forward() && s.Status == Running && !s.left():
		d.turn(meaning(a), a.Reason)
	case a.Step == CancelShipment && s.Steps[Dispatch] != Refused:
		d.add(Resumed{Of: d.of(), Code: a.Code, Reason: a.Reason, Issued: issue(s.ahead())})
	default:
		d.add(Stuck{Of: d.of(), Step: a.Step, Code: a.Code, Reason: a.Reason})
	}
}

// turn begins the way back. Steps of the trip that are open are settled by their undoing; an open notification is waited for.
func (d *decision) turn(code, reason string) {
	e := CompensationStarted{Of: d.of(), Code: code, Reason: reason}
	for _, open := range Outstanding(d.state) {
		if open.Step.forward() {
			e.Settled = append(e.Settled, open.Step)
		}
	}
	e.Issued = issue(Evolve(d.state, e).undo())
	d.add(e)
}

// end ends the saga when nothing is open and nothing is left to do.
func (d *decision) end() {
	s := d.state
	last := MarkShipped
	if s.History() {
		last = MarkDelivered
	}
	switch {
	case !s.idle():
	case s.Status == Running && s.Steps[last] == Succeeded:
		d.add(Completed{Of: d.of()})
	case s.Status == Compensating && s.undo() == "":
		d.add(Cancelled{Of: d.of(), Code: s.Code, Reason: s.Reason})
	}
}

// ahead returns the step where the way forward goes on.
func (s State) ahead() Step {
	step := Reserve
	for s.Steps[step] == Succeeded {
		following := s.next(step)
		step = following[len(following)-1] // a notification stands first
	}
	return step
}

// meaning says what the refusal of a step means for the order.
func meaning(a Answer) string {
	switch a.Step {
	case Reserve:
		return OutOfStock
	case Authorise, Capture:
		return PaymentDeclined
	case Schedule, Dispatch:
		return NoCarrier
	}
	if a.Code == askedToCancel {
		return Requested
	}
	return a.Code
}
