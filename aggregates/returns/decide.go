package returns

// Answer is the outcome of one step's command.
type Answer struct {
	Step   Step
	OK     bool
	Code   string // of the refusal
	Reason string // of the refusal, for people
}

// Start begins the saga; again it changes nothing.
func Start(s State, of Started) []Event {
	if s.Status != None {
		return nil
	}
	first := Refund
	if of.Amount.IsZero() {
		first = Restock
	}
	of.Issued = issue(first)
	return []Event{of}
}

// OnAnswer takes the answer of a command. One whose step is not open changes nothing.
func OnAnswer(s State, a Answer) []Event {
	if s.Ended() || s.Steps[a.Step] != Open {
		return nil
	}
	of := s.Started.Of
	if !a.OK && a.Step != NotifyRefunded {
		return []Event{
			StepRefused{Of: of, Step: a.Step, Code: a.Code, Reason: a.Reason},
			Stuck{Of: of, Step: a.Step, Code: a.Code, Reason: a.Reason},
		}
	}
	following := issue(s.next(a.Step))
	var events []Event
	if a.OK {
		events = append(events, StepSucceeded{Of: of, Step: a.Step, Issued: following})
	} else {
		events = append(events, StepRefused{Of: of, Step: a.Step, Code: a.Code, Reason: a.Reason})
	}
	if len(following) == 0 {
		events = append(events, Completed{Of: of})
	}
	return events
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

// next returns the step after one that is done, "" after the last.
func (s State) next(done Step) Step {
	switch {
	case done == Refund:
		return Restock
	case done == Restock && !s.History():
		return NotifyRefunded
	}
	return ""
}

func issue(step Step) []Issued {
	for _, c := range commands {
		if c.Step == step {
			return []Issued{c}
		}
	}
	return nil
}
