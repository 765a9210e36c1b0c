package commands

import (
	"encoding/json"
	"testing"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// Each of the commands with a typed text, as it is sent; other is the same with another word that stands in the clear.
type typedCommand struct {
	name        string
	send, other func(s staffed) (Receipt, error)
}

func (s staffed) typedCommands(t testing.TB, reason string) []typedCommand {
	t.Helper()
	o, sent := s.ordered(t, "k1").Order, s.shippedOrder(t, "k2")
	cancel := func(c order.Cause) func(staffed) (Receipt, error) {
		return func(s staffed) (Receipt, error) {
			r, err := s.RequestCancel(t.Context(), admin, RequestCancel{Meta: Meta{IdempotencyKey: "c"}, Order: o, Cause: c, Reason: reason})
			return r.Receipt, err
		}
	}
	back := func(n int64) func(staffed) (Receipt, error) {
		return func(s staffed) (Receipt, error) {
			r, err := s.ReturnLines(t.Context(), admin, ReturnLines{Meta: Meta{IdempotencyKey: "r"}, Order: sent, Lines: []ReturnLine{{Line: 1, Quantity: n}}, Reason: reason})
			return r.Receipt, err
		}
	}
	tier := func(to customer.Tier) func(staffed) (Receipt, error) {
		return func(s staffed) (Receipt, error) {
			r, err := s.ChangeTier(t.Context(), admin, ChangeTier{Meta: Meta{IdempotencyKey: "t"}, Customer: "ada", Tier: to, Why: reason})
			return r.Receipt, err
		}
	}
	return []typedCommand{
		{"cancel", cancel(""), cancel(order.TooSlow)},
		{"return", back(1), back(2)},
		{"tier", tier(customer.VIP), tier(customer.Standard)},
	}
}

func (s staffed) shippedOrder(t testing.TB, key string) order.ID {
	t.Helper()
	sent := s.ordered(t, key).Order
	_, err := s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: sent, Payment: "p", Shipment: "s"})
	must(t, err)
	_, err = s.MarkShipped(t.Context(), operator, MarkShipped{Order: sent, Shipment: "s", Tracking: "T"})
	must(t, err)
	return sent
}

// repeated sends the command again, from a process that has no stream in its cache, and wants the first answer.
func (c typedCommand) repeated(t *testing.T, w *world, first Receipt) {
	t.Helper()
	s := w.start(t)
	again, err := c.send(s)
	must(t, err)
	first.Replayed = true
	equal(t, again, first)
	_, err = c.other(s)
	refusal(t, err, ErrKeyReused)
}

func TestARepeatGetsTheFirstAnswerAlsoAfterThePersonWasErased(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	commands := s.typedCommands(t, "Ada rang")
	firsts := make([]Receipt, len(commands))
	for i, c := range commands {
		var err error
		firsts[i], err = c.send(s)
		must(t, err)
	}
	must(t, s.vault.Shred(t.Context(), "ada", pii.Fulfilment))
	for i, c := range commands {
		t.Run(c.name, func(t *testing.T) { c.repeated(t, w, firsts[i]) })
	}
}

// Events of before texts were sealed have the text in the clear and a MAC of the shop's. The forms of the input are those of then.
func TestARepeatGetsTheFirstAnswerAlsoFromBeforeTextsWereSealed(t *testing.T) {
	const typed = "Ada rang"
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	commands := s.typedCommands(t, typed)
	o, sent := s.ordered(t, "k1").Order, s.ordered(t, "k2").Order // the keys again: the same orders
	then := func(name, key, input string) request {
		r, err := s.begin(t.Context(), admin, name, Meta{IdempotencyKey: key}, "", json.RawMessage(input))
		must(t, err)
		return r
	}
	firsts := make([]Receipt, 3)
	var err error
	firsts[0], _, err = execute(t.Context(), s.Handlers, orders, then("RequestCancel", "c", `{"order":"`+string(o)+`","reason":"Ada rang"}`), string(o),
		func(st order.State, _ eventstore.Revision) ([]order.Event, error) {
			return []order.Event{order.CancelRequested{Order: o, Customer: "ada", Reason: typed}}, nil
		})
	must(t, err)
	firsts[1], _, err = execute(t.Context(), s.Handlers, orders, then("ReturnLines", "r", `{"order":"`+string(sent)+`","lines":[{"line":1,"quantity":1}],"reason":"Ada rang"}`), string(sent),
		func(st order.State, _ eventstore.Revision) ([]order.Event, error) {
			return order.TakeBack(st, order.Return{ID: "x", Reason: typed, Lines: []order.ReturnLine{{Line: 1, Quantity: 1}}, Channel: "staff", At: s.now()})
		})
	must(t, err)
	firsts[2], _, err = execute(t.Context(), s.Handlers, customers, then("ChangeTier", "t", `{"customer":"ada","tier":"vip","why":"Ada rang"}`), "ada",
		func(customer.State, eventstore.Revision) ([]customer.Event, error) {
			return []customer.Event{customer.TierChanged{Customer: "ada", Tier: customer.VIP, Reason: typed}}, nil
		})
	must(t, err)
	for i, c := range commands {
		t.Run(c.name, func(t *testing.T) { c.repeated(t, w, firsts[i]) })
	}
	must(t, s.vault.Shred(t.Context(), "ada", pii.Fulfilment))
	for i, c := range commands {
		t.Run(c.name+" of an erased person", func(t *testing.T) { c.repeated(t, w, firsts[i]) })
	}
}
