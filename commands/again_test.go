package commands

import (
	"testing"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/internal/auth"
)

// A command that set what was set already is an accepted command all the same: repeated later, it must not undo what came
// between.
func TestARepeatedCountThatFoundNothingNewMakesNoStock(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	staff := auth.Principal{Kind: auth.Staff, ID: "wim", Roles: []auth.Role{auth.RoleWarehouse}, Method: "test"}
	adjust := func(key string, cause inventory.Adjustment, n int64) StockChanged {
		t.Helper()
		done, err := p.AdjustStock(t.Context(), staff, AdjustStock{Meta: Meta{IdempotencyKey: key}, SKU: "A", Cause: cause, Quantity: n, Why: "stocktake"})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	adjust("found", inventory.Count, 10)
	first := adjust("k1", inventory.Count, 10)
	adjust("k2", inventory.WriteOff, 3)
	again := adjust("k1", inventory.Count, 10)
	if !again.Replayed || again.Revision != first.Revision || again.OnHand != 7 {
		t.Errorf("first %+v, again %+v", first, again)
	}
}
