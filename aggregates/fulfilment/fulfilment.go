// Package fulfilment is the saga of an order as a pure state machine: answers in, commands out. Package sagas drives it.
//
//	            reserve -> authorise -> schedule -> capture -> confirm -> dispatch -> ship -> mark shipped -> completed
//	               |           |           |           |          |  \        |         (imported: deliver, mark delivered)
//	refused, asked |           |           |           |          |   notify  |  the parcel has left: no way back
//	to cancel, or  v           v           v           v          v           v
//	out of time    cancel shipment -> void (or refund) -> release -> cancel order -> notify -> cancelled
//
// Rules:
//   - what took effect is undone in the reverse of the order in which it touched a context: shipment, payment, stock, order. What
//     was never begun, or refused, is not undone: refusals are final in their own streams.
//   - an answer that has not come means unknown, never failed. Whoever turns round meanwhile undoes the step as well; the
//     undoing leaves a tombstone in the other stream that refuses the step should it come later.
//   - a parcel that left is beyond undoing. A cancellation that meets an open dispatch asks the shipment: cancelled, or it
//     left, and then the saga goes forward again (Resumed). Stock leaves the books only after the parcel left.
//   - an answer counts only while its step is open. Late, doubled and reordered ones change nothing.
//   - no step is done twice; a notification that is refused stops nothing.
//   - every saga ends, completed or cancelled, once the faults around it end. What can be neither done nor undone is stuck, visibly,
//     until somebody redrives it.
//
// Which commands are outstanding is Outstanding(state): derived from the events alone, with no memory of what was sent. The
// id of a command is UUIDv5 of saga and step (sagas derives it), so that sending it again is always safe.
package fulfilment

import (
	"maps"
	"slices"
)

// Status is where a saga stands.
type Status string

// The statuses; None is a saga that never started.
const (
	None             Status = ""
	Running          Status = "running"
	Compensating     Status = "compensating"
	StatusStuck      Status = "stuck"
	StatusCompleted  Status = "completed"
	StatusCancelled  Status = "cancelled"
	channelOfHistory        = "import"
)

// Mark is what is known of a step.
type Mark string

// The marks.
const (
	Open      Mark = "open"      // issued and not answered
	Succeeded Mark = "succeeded" //
	Refused   Mark = "refused"   //
	Settled   Mark = "settled"   // not answered; its undoing settles it
)

// State is a saga as its events tell it.
type State struct {
	Status   Status
	Started  Started // as it began; its Issued is of no interest
	Steps    map[Step]Mark
	Payment  string
	Shipment string
	Tracking string
	Code     string // why it is undone, or stuck
	Reason   string
	StuckAt  Step
	resume   Status // what a stuck saga goes back to
}

// Ended reports whether nothing can happen any more.
func (s State) Ended() bool { return s.Status == StatusCompleted || s.Status == StatusCancelled }

// History reports whether the order is imported history: it was delivered long ago, and nobody is notified.
func (s State) History() bool { return s.Started.Channel == channelOfHistory }

// Outstanding returns the commands that the saga waits for, in the order of the trip.
func Outstanding(s State) []Issued {
	var open []Issued
	for _, t := range commands {
		if s.Steps[t.Step] == Open {
			open = append(open, t)
		}
	}
	return open
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	s.Steps = maps.Clone(s.Steps)
	if s.Steps == nil {
		s.Steps = map[Step]Mark{}
	}
	switch e := e.(type) {
	case Started:
		s = State{Status: Running, Started: e, Steps: map[Step]Mark{}}
		s.issue(e.Issued)
	case StepSucceeded:
		s.Steps[e.Step] = Succeeded
		s.Payment, s.Shipment, s.Tracking = or(e.Payment, s.Payment), or(e.Shipment, s.Shipment), or(e.Tracking, s.Tracking)
		s.issue(e.Issued)
	case StepRefused:
		s.Steps[e.Step] = Refused
		s.issue(e.Issued)
	case CompensationStarted:
		s.Status, s.Code, s.Reason = Compensating, e.Code, e.Reason
		for _, step := range e.Settled {
			s.Steps[step] = Settled
		}
		s.issue(e.Issued)
	case Resumed:
		s.Status, s.Code, s.Reason = Running, "", ""
		s.issue(e.Issued)
	case Stuck:
		s.Status, s.resume, s.StuckAt, s.Code, s.Reason = StatusStuck, s.Status, e.Step, or(s.Code, e.Code), or(s.Reason, e.Reason)
	case Redriven:
		s.Status, s.StuckAt = s.resume, ""
		s.issue(e.Issued)
	case Completed:
		s.Status = StatusCompleted
	case Cancelled:
		s.Status = StatusCancelled
	}
	return s
}

// REQUIRES: s.Steps is the receiver's own.
func (s *State) issue(commands []Issued) {
	for _, c := range commands {
		s.Steps[c.Step] = Open
	}
}

func (s State) idle() bool { return !slices.Contains(slices.Collect(maps.Values(s.Steps)), Open) }

// begun reports whether the step may have had an effect: it was issued, and its refusal is not known.
func (s State) begun(step Step) bool {
	mark, ok := s.Steps[step]
	return ok && mark != Refused
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
