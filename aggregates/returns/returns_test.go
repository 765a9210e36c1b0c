package returns

import (
	"testing"

	"github.com/annalhq/annal/internal/money"
)

func begin(channel string, minor int64) State {
	return apply(State{}, Start(State{}, Started{Of: Of{Return: "r1", Order: "o1", Customer: "c1"}, Amount: money.Of(minor, "GBP"), Channel: channel}))
}

func apply(s State, events []Event) State {
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

func answer(s State, ok bool, steps ...Step) State {
	for _, step := range steps {
		s = apply(s, OnAnswer(s, Answer{Step: step, OK: ok, Code: "X", Reason: "because"}))
	}
	return s
}

func TestReturns(t *testing.T) {
	cases := []struct {
		name   string
		state  State
		status Status
		open   Step
	}{
		{"the money first", begin("web", 500), Running, Refund},
		{"nothing to refund", begin("web", 0), Running, Restock},
		{"then the stock", answer(begin("web", 500), true, Refund), Running, Restock},
		{"to the end", answer(begin("web", 500), true, Refund, Restock, NotifyRefunded), StatusCompleted, ""},
		{"history is silent", answer(begin("import", 500), true, Refund, Restock), StatusCompleted, ""},
		{"a mail that can't be sent stops nothing", answer(answer(begin("web", 500), true, Refund, Restock), false, NotifyRefunded), StatusCompleted, ""},
		{"a refund that is refused is stuck", answer(begin("web", 500), false, Refund), StatusStuck, ""},
		{"an answer that comes too early changes nothing", answer(begin("web", 500), true, Restock), Running, Refund},
		{"a doubled answer changes nothing", answer(begin("web", 500), true, Refund, Refund, Refund), Running, Restock},
		{"a late answer changes nothing", answer(begin("import", 500), true, Refund, Restock, Refund), StatusCompleted, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			open := Step("")
			if issued := Outstanding(c.state); len(issued) == 1 {
				open = issued[0].Step
			}
			if c.state.Status != c.status || open != c.open || len(Outstanding(c.state)) > 1 {
				t.Errorf("%s, open %v; want %s, %s", c.state.Status, Outstanding(c.state), c.status, c.open)
			}
		})
	}
}

func TestRedriveTriesTheStuckStepAgain(t *testing.T) {
	stuck := answer(begin("web", 500), false, Refund)
	events, err := Redrive(stuck)
	if err != nil {
		t.Fatal(err)
	}
	s := apply(stuck, events)
	if _, err := Redrive(s); err == nil {
		t.Error("redriven twice")
	}
	if _, err := Redrive(State{}); err == nil {
		t.Error("nothing was redriven")
	}
	if s = answer(s, true, Refund, Restock, NotifyRefunded); s.Status != StatusCompleted || stuck.Status != StatusStuck {
		t.Errorf("%s; before %s", s.Status, stuck.Status)
	}
	if again := Start(s, s.Started); again != nil {
		t.Error("started twice")
	}
}
