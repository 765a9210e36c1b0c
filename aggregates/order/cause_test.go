package order_test

import (
	"testing"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/pii"
)

var sealedNote = pii.Sealed{Key: pii.KeyID{Subject: "c1", Purpose: pii.Fulfilment, Version: 1}, Cipher: []byte("mother died")}

// TestWhatSomebodyTypedIsNotCarriedOn: events from before there was Note hold typed text in Reason; nobody copies it into other events.
func TestWhatSomebodyTypedIsNotCarriedOn(t *testing.T) {
	for reason, want := range map[string]order.Cause{
		"CHANGED_MIND": order.ChangedMind, "DAMAGED": order.Damaged, "my neighbour Ada took it": order.OtherCause, "": order.OtherCause, "damaged": order.OtherCause,
	} {
		if got := (order.CancelRequested{Reason: reason}).Cause(); got != want {
			t.Errorf("%q: %s", reason, got)
		}
		if got := (order.Returned{Reason: reason, Channel: "web"}).Said(); got != string(want) {
			t.Errorf("%q: %s", reason, got)
		}
	}
	if got := (order.Returned{Reason: "cancellation C536379", Channel: "import"}).Said(); got != "cancellation C536379" {
		t.Errorf("the import's own words: %q", got)
	}
	for _, c := range []order.Cause{order.ChangedMind, order.OrderedWrongly, order.TooSlow, order.Damaged, order.WrongItem, order.NotAsDescribed, order.OtherCause} {
		if !c.Known() || c.Sentence() == "" {
			t.Errorf("%s has no sentence", c)
		}
	}
	if order.Cause("my neighbour Ada").Sentence() != order.OtherCause.Sentence() {
		t.Error("an unknown cause is repeated")
	}
}
