// Package returns is the saga of a return as a pure state machine: answers in, commands out. Its streams are `return-<id>`.
//
//	refund -> restock -> notify -> completed
//	   \---------\------> stuck -> redriven
//
// Rules:
//   - goods that came back are a fact: there is nothing to undo. A refund or restocking that is refused is stuck, visibly, until
//     an operator has mended what refuses it and redrives.
//   - nothing is refunded for a return of no value; history (channel "import") notifies nobody; a notification that is
//     refused stops nothing.
//   - an answer counts only while its step is open. Late and doubled ones change nothing.
//
// The refund's id is the return's id: however often it is asked for, it is made once. Package sagas drives it, as it does
// fulfilment, whose package comment says how commands are identified and sent again.
package returns

import (
	"maps"

	"github.com/annalhq/annal/internal/fault"
)

// Status is where a saga stands.
type Status string

// The statuses; None is a saga that never started.
const (
	None             Status = ""
	Running          Status = "running"
	StatusStuck      Status = "stuck"
	StatusCompleted  Status = "completed"
	channelOfHistory        = "import"
)

// Step names what the saga does. It is part of the stored events and of the commands' ids: never renamed.
type Step string

// The steps.
const (
	Refund         Step = "refund"
	Restock        Step = "restock"
	NotifyRefunded Step = "notify-refunded"
)

// commands says who carries out each step, in the order of the trip.
var commands = [...]Issued{
	{Refund, "payment", "RefundPayment"},
	{Restock, "inventory", "RestockLines"},
	{NotifyRefunded, "notification", "Notify"},
}

// Mark is what is known of a step.
type Mark string

// The marks.
const (
	Open      Mark = "open" // issued and not answered
	Succeeded Mark = "succeeded"
	Refused   Mark = "refused"
)

// State is a saga as its events tell it.
type State struct {
	Status  Status
	Started Started // as it began; its Issued is of no interest
	Steps   map[Step]Mark
	Code    string // why it is stuck
	Reason  string
	StuckAt Step
}

// Ended reports whether nothing can happen any more.
func (s State) Ended() bool { return s.Status == StatusCompleted }

// History reports whether the return is imported history: nobody is notified.
func (s State) History() bool { return s.Started.Channel == channelOfHistory }

// Outstanding returns the commands that the saga waits for, in the order of the trip.
func Outstanding(s State) []Issued {
	var open []Issued
	for _, c := range commands {
		if s.Steps[c.Step] == Open {
			open = append(open, c)
		}
	}
	return open
}

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	s.Steps = maps.Clone(s.Steps)
	switch e := e.(type) {
	case Started:
		s = State{Status: Running, Started: e, Steps: map[Step]Mark{}}
		s.issue(e.Issued)
	case StepSucceeded:
		s.Steps[e.Step] = Succeeded
		s.issue(e.Issued)
	case StepRefused:
		s.Steps[e.Step] = Refused
	case Stuck:
		s.Status, s.StuckAt, s.Code, s.Reason = StatusStuck, e.Step, e.Code, e.Reason
	case Redriven:
		s.Status, s.StuckAt, s.Code, s.Reason = Running, "", "", ""
		s.issue(e.Issued)
	case Completed:
		s.Status = StatusCompleted
	}
	return s
}

// REQUIRES: s.Steps is the receiver's own.
func (s *State) issue(commands []Issued) {
	for _, c := range commands {
		s.Steps[c.Step] = Open
	}
}

// The refusals of an operator's wish.
var (
	ErrNotStarted = fault.New(fault.Missing, "SAGA_NOT_FOUND", "there is no such return")
	ErrNotStuck   = fault.New(fault.Conflict, "SAGA_NOT_STUCK", "the saga is not stuck; what is outstanding is sent again by its timer")
)
