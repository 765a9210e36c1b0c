package commands

import (
	"bytes"
	"testing"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
)

// last returns the newest event of a stream, after looking through the whole stream for what must not stand there.
func (s staffed) last(t testing.TB, stream eventstore.Stream, secret string) any {
	t.Helper()
	var last any
	for rec, err := range s.store.ReadStream(t.Context(), stream, 0) {
		must(t, err)
		if bytes.Contains(rec.Data, []byte(secret)) || bytes.Contains(rec.Metadata, []byte(secret)) {
			t.Errorf("%s says %q", rec.Type, secret)
		}
		last, err = aggregates.Decode(rec.Type, rec.Data)
		must(t, err)
	}
	return last
}

func (s staffed) opened(t testing.TB, note pii.Sealed) string {
	t.Helper()
	plain, err := s.vault.Open(t.Context(), pii.Note, note)
	must(t, err)
	return string(plain)
}

func TestWhatPeopleTypeIsSealedAndACauseStandsInTheClear(t *testing.T) {
	const typed = "my neighbour Augusta King has bought one"
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	stream := eventstore.Order.Stream(string(o.Order))
	cancel := RequestCancel{Meta: Meta{IdempotencyKey: "c"}, Order: o.Order, Cause: order.ChangedMind, Reason: typed}
	first, err := s.RequestCancel(t.Context(), buyer("ada"), cancel)
	must(t, err)
	e, _ := s.last(t, stream, "Augusta").(order.CancelRequested)
	equal(t, e.Reason, "CHANGED_MIND")
	equal(t, e.Note.Key.Subject, pii.Subject("ada"))
	equal(t, s.opened(t, e.Note), typed)

	again, err := s.RequestCancel(t.Context(), buyer("ada"), cancel)
	must(t, err)
	equal(t, again.Revision, first.Revision)
	cancel.Reason = "something else"
	_, err = s.RequestCancel(t.Context(), buyer("ada"), cancel)
	refusal(t, err, ErrKeyReused)

	sent := s.ordered(t, "k2")
	_, err = s.ConfirmOrder(t.Context(), operator, ConfirmOrder{Order: sent.Order, Payment: "p", Shipment: "s"})
	must(t, err)
	_, err = s.MarkShipped(t.Context(), operator, MarkShipped{Order: sent.Order, Shipment: "s", Tracking: "T"})
	must(t, err)
	_, err = s.ReturnLines(t.Context(), admin, ReturnLines{Order: sent.Order, Lines: []ReturnLine{{Line: 1, Quantity: 1}}, Reason: typed})
	must(t, err)
	back, _ := s.last(t, eventstore.Order.Stream(string(sent.Order)), "Augusta").(order.Returned)
	equal(t, back.Reason, "OTHER")
	equal(t, s.opened(t, back.Note), typed)

	_, err = s.ChangeTier(t.Context(), admin, ChangeTier{Customer: "ada", Tier: customer.VIP, Why: typed})
	must(t, err)
	tier, _ := s.last(t, eventstore.Customer.Stream("ada"), "Augusta").(customer.TierChanged)
	equal(t, tier.Reason, "")
	equal(t, s.opened(t, tier.Note), typed)
}

func TestAGuestsWordsAreSealedUnderTheGuestsKey(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	wanted := mugs("guest", 1)
	wanted.Guest = &Guest{Name: "Grace", Email: "grace@example.org"}
	o, err := s.PlaceOrder(t.Context(), admin, wanted)
	must(t, err)
	_, err = s.RequestCancel(t.Context(), admin, RequestCancel{Order: o.Order, Reason: "Grace rang"})
	must(t, err)
	e, _ := s.last(t, eventstore.Order.Stream(string(o.Order)), "Grace").(order.CancelRequested)
	equal(t, e.Note.Key.Subject, guestOf(o.Order))
}

func TestAnErasedPersonsOrderIsCancelledWithoutAWord(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	must(t, s.vault.Shred(t.Context(), "ada", pii.Fulfilment))
	_, err := s.RequestCancel(t.Context(), admin, RequestCancel{Order: o.Order, Cause: order.TooSlow, Reason: "Ada rang"})
	must(t, err)
	e, _ := s.last(t, eventstore.Order.Stream(string(o.Order)), "Ada").(order.CancelRequested)
	equal(t, e.Reason, "TOO_SLOW")
	equal(t, e.Note.IsZero(), true)
}

func TestAReasonIsGivenInAForm(t *testing.T) {
	s := newWorld(t).start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	for _, bad := range []string{"", "a\nb", string(bytes.Repeat([]byte("x"), 501))} {
		_, err := s.RequestCancel(t.Context(), buyer("ada"), RequestCancel{Order: o.Order, Reason: bad})
		refusal(t, err, errReason)
		_, err = s.ReturnLines(t.Context(), buyer("ada"), ReturnLines{Order: o.Order, Lines: []ReturnLine{{Line: 1, Quantity: 1}}, Reason: bad})
		refusal(t, err, errReason)
	}
	_, err := s.RequestCancel(t.Context(), buyer("ada"), RequestCancel{Order: o.Order, Cause: "my neighbour", Reason: "x"})
	refusal(t, err, errCause)
}
