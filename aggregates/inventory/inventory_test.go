package inventory_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/inventory"
)

const sku = inventory.SKU("85123A")

func received(n int64) inventory.Event { return inventory.Received{SKU: sku, Quantity: n} }
func reserved(order string, line int, n int64) inventory.Event {
	return inventory.Reserved{SKU: sku, Order: order, Line: line, Quantity: n}
}
func released(order string, line int, n int64, reason string) inventory.Event {
	return inventory.Released{SKU: sku, Order: order, Line: line, Quantity: n, Reason: reason}
}
func shipped(order string, line int, n int64) inventory.Event {
	return inventory.Shipped{SKU: sku, Order: order, Line: line, Quantity: n}
}
func returned(order, ret string, line int, n int64) inventory.Event {
	return inventory.Returned{SKU: sku, Order: order, Return: ret, Line: line, Quantity: n}
}
func threshold(n int64) inventory.Event { return inventory.ThresholdSet{SKU: sku, Threshold: n} }
func low(available, threshold int64) inventory.Event {
	return inventory.WentLow{SKU: sku, Available: available, Threshold: threshold}
}
func line(n int, quantity int64) inventory.Line { return inventory.Line{Line: n, Quantity: quantity} }

type decision func(inventory.State) ([]inventory.Event, error)

func reserve(order string, lines ...inventory.Line) decision {
	return func(s inventory.State) ([]inventory.Event, error) { return inventory.Reserve(s, sku, order, lines...) }
}
func release(order string, lines ...inventory.Line) decision {
	return func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Release(s, sku, order, "changed my mind", lines...)
	}
}
func bar(order string, lines ...inventory.Line) decision {
	return func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Bar(s, sku, order, inventory.ReasonShort, lines...)
	}
}
func ship(order string, lines ...inventory.Line) decision {
	return func(s inventory.State) ([]inventory.Event, error) { return inventory.Ship(s, sku, order, lines...) }
}
func restock(order, ret string, lines ...inventory.Line) decision {
	return func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Restock(s, sku, order, ret, lines...)
	}
}
func adjust(cause inventory.Adjustment, n int64) decision {
	return func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Adjust(s, sku, cause, n, "stocktake")
	}
}
func setThreshold(n int64) decision {
	return func(s inventory.State) ([]inventory.Event, error) { return inventory.SetThreshold(s, sku, n) }
}
func receive(n int64) decision {
	return func(s inventory.State) ([]inventory.Event, error) { return inventory.Receive(s, sku, n, "") }
}

func adjusted(delta int64, cause inventory.Adjustment) inventory.Event {
	return inventory.Adjusted{SKU: sku, Delta: delta, Cause: cause, Reason: "stocktake"}
}

type events = []inventory.Event

func TestDecisions(t *testing.T) {
	for name, c := range map[string]struct {
		given   events
		when    decision
		then    events
		refused error
	}{
		"receive":              {nil, receive(5), events{received(5)}, nil},
		"receive nothing":      {nil, receive(0), nil, inventory.ErrQuantity},
		"receive less":         {nil, receive(-1), nil, inventory.ErrQuantity},
		"receive an absurdity": {nil, receive(1 << 62), nil, inventory.ErrQuantity},

		"reserve":                        {events{received(5)}, reserve("o", line(1, 5)), events{reserved("o", 1, 5)}, nil},
		"reserve equal lines":            {events{received(5)}, reserve("o", line(1, 2), line(2, 2)), events{reserved("o", 1, 2), reserved("o", 2, 2)}, nil},
		"reserve too much together":      {events{received(5)}, reserve("o", line(1, 3), line(2, 3)), nil, inventory.ErrOutOfStock},
		"reserve what was never there":   {nil, reserve("o", line(1, 1)), nil, inventory.ErrOutOfStock},
		"reserve what is promised":       {events{received(5), reserved("p", 1, 5)}, reserve("o", line(1, 1)), nil, inventory.ErrOutOfStock},
		"reserve again":                  {events{received(5), reserved("o", 1, 5)}, reserve("o", line(1, 5)), nil, nil},
		"reserve the rest":               {events{received(5), reserved("o", 1, 3)}, reserve("o", line(1, 3), line(2, 2)), events{reserved("o", 2, 2)}, nil},
		"reserve otherwise":              {events{received(5), reserved("o", 1, 3)}, reserve("o", line(1, 4)), nil, inventory.ErrLineDiffers},
		"reserve what left":              {events{received(5), reserved("o", 1, 5), shipped("o", 1, 5)}, reserve("o", line(1, 5)), nil, nil},
		"reserve after a release":        {events{received(5), reserved("o", 1, 5), released("o", 1, 5, "x")}, reserve("o", line(1, 5)), nil, inventory.ErrReleased},
		"reserve after a tombstone":      {events{received(5), released("o", 1, 0, "x")}, reserve("o", line(1, 5)), nil, inventory.ErrReleased},
		"reserve what was short":         {events{released("o", 1, 0, inventory.ReasonShort), received(5)}, reserve("o", line(1, 5)), nil, inventory.ErrOutOfStock},
		"reserve what was undone":        {events{received(5), released("o", 1, 0, inventory.ReasonUndone)}, reserve("o", line(1, 5)), nil, inventory.ErrUndone},
		"reserve no line":                {events{received(5)}, reserve("o"), nil, inventory.ErrLines},
		"reserve a line twice":           {events{received(5)}, reserve("o", line(1, 1), line(1, 1)), nil, inventory.ErrLines},
		"reserve line 0":                 {events{received(5)}, reserve("o", line(0, 1)), nil, inventory.ErrLines},
		"reserve less than one":          {events{received(5)}, reserve("o", line(1, -1)), nil, inventory.ErrLines},
		"reserve for nobody":             {events{received(5)}, reserve("", line(1, 1)), nil, inventory.ErrLines},
		"reserve to the threshold":       {events{received(5), threshold(2)}, reserve("o", line(1, 3)), events{reserved("o", 1, 3), low(2, 2)}, nil},
		"reserve above the threshold":    {events{received(5), threshold(2)}, reserve("o", line(1, 2)), events{reserved("o", 1, 2)}, nil},
		"reserve below the threshold":    {events{received(5), threshold(2), reserved("p", 1, 3)}, reserve("o", line(1, 1)), events{reserved("o", 1, 1)}, nil},
		"another's line of the same no.": {events{received(5), reserved("p", 1, 3)}, reserve("o", line(1, 2)), events{reserved("o", 1, 2)}, nil},

		"release":               {events{received(5), reserved("o", 1, 3)}, release("o", line(1, 0)), events{released("o", 1, 3, "changed my mind")}, nil},
		"release before":        {nil, release("o", line(1, 0)), events{released("o", 1, 0, "changed my mind")}, nil},
		"release again":         {events{received(5), released("o", 1, 0, "x")}, release("o", line(1, 0)), nil, nil},
		"release what left":     {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3)}, release("o", line(1, 0)), nil, inventory.ErrAlreadyShipped},
		"release some of all":   {events{received(5), reserved("o", 1, 3)}, release("o", line(1, 0), line(2, 0)), events{released("o", 1, 3, "changed my mind"), released("o", 2, 0, "changed my mind")}, nil},
		"bar":                   {nil, bar("o", line(1, 2)), events{released("o", 1, 0, inventory.ReasonShort)}, nil},
		"bar what is reserved":  {events{received(5), reserved("o", 1, 2)}, bar("o", line(1, 2)), nil, inventory.ErrAlreadyReserved},
		"bar what left":         {events{received(5), reserved("o", 1, 2), shipped("o", 1, 2)}, bar("o", line(1, 2)), nil, inventory.ErrAlreadyReserved},
		"bar what was released": {events{received(5), reserved("o", 1, 2), released("o", 1, 2, "x")}, bar("o", line(1, 2)), nil, nil},

		"ship":                      {events{received(5), reserved("o", 1, 3)}, ship("o", line(1, 3)), events{shipped("o", 1, 3)}, nil},
		"ship again":                {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3)}, ship("o", line(1, 3)), nil, nil},
		"ship what is not reserved": {events{received(5)}, ship("o", line(1, 3)), nil, inventory.ErrNotReserved},
		"ship what was released":    {events{received(5), released("o", 1, 0, "x")}, ship("o", line(1, 3)), nil, inventory.ErrReleased},
		"ship otherwise":            {events{received(5), reserved("o", 1, 3)}, ship("o", line(1, 2)), nil, inventory.ErrLineDiffers},
		"ship half, refuse all":     {events{received(5), reserved("o", 1, 3)}, ship("o", line(1, 3), line(2, 1)), nil, inventory.ErrNotReserved},

		"restock":                   {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3)}, restock("o", "r", line(1, 2)), events{returned("o", "r", 1, 2)}, nil},
		"restock again":             {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3), returned("o", "r", 1, 2)}, restock("o", "r", line(1, 2)), nil, nil},
		"restock the rest":          {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3), returned("o", "r", 1, 2)}, restock("o", "s", line(1, 1)), events{returned("o", "s", 1, 1)}, nil},
		"restock too much":          {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3), returned("o", "r", 1, 2)}, restock("o", "s", line(1, 2)), nil, inventory.ErrReturnTooLarge},
		"restock what did not ship": {events{received(5), reserved("o", 1, 3)}, restock("o", "r", line(1, 1)), nil, inventory.ErrNotShipped},
		"restock without a return":  {events{received(5), reserved("o", 1, 3), shipped("o", 1, 3)}, restock("o", "", line(1, 1)), nil, inventory.ErrLines},

		"write off":                {events{received(5)}, adjust(inventory.WriteOff, 2), events{adjusted(-2, inventory.WriteOff)}, nil},
		"write off nothing":        {events{received(5)}, adjust(inventory.WriteOff, 0), nil, inventory.ErrQuantity},
		"write off what is not":    {events{received(5)}, adjust(inventory.WriteOff, 6), nil, inventory.ErrBelowReserved},
		"write off the promised":   {events{received(5), reserved("o", 1, 3)}, adjust(inventory.WriteOff, 3), nil, inventory.ErrBelowReserved},
		"write off to the low":     {events{received(5), threshold(3)}, adjust(inventory.WriteOff, 2), events{adjusted(-2, inventory.WriteOff), low(3, 3)}, nil},
		"count more":               {events{received(5)}, adjust(inventory.Count, 7), events{adjusted(2, inventory.Count)}, nil},
		"count as it is":           {events{received(5)}, adjust(inventory.Count, 5), events{adjusted(0, inventory.Count)}, nil},
		"count none":               {events{received(5)}, adjust(inventory.Count, 0), events{adjusted(-5, inventory.Count)}, nil},
		"count below the promised": {events{received(5), reserved("o", 1, 3)}, adjust(inventory.Count, 2), nil, inventory.ErrBelowReserved},
		"count below nothing":      {events{received(5)}, adjust(inventory.Count, -1), nil, inventory.ErrQuantity},
		"adjust by another cause":  {events{received(5)}, adjust("theft", 1), nil, inventory.ErrCause},

		"threshold":            {events{received(5)}, setThreshold(2), events{threshold(2)}, nil},
		"threshold as it is":   {events{received(5), threshold(2)}, setThreshold(2), events{threshold(2)}, nil},
		"threshold now low":    {events{received(5)}, setThreshold(5), events{threshold(5), low(5, 5)}, nil},
		"threshold off":        {events{received(5), threshold(5)}, setThreshold(0), events{threshold(0)}, nil},
		"threshold below zero": {nil, setThreshold(-1), nil, inventory.ErrThreshold},
	} {
		t.Run(name, func(t *testing.T) {
			var s inventory.State
			for _, e := range c.given {
				s = inventory.Evolve(s, e)
			}
			got, err := c.when(s)
			if !errors.Is(err, c.refused) || (err == nil) != (c.refused == nil) {
				t.Fatalf("refused with %v, want %v", err, c.refused)
			}
			if diff := cmp.Diff(c.then, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSKU(t *testing.T) {
	for _, good := range []inventory.SKU{"85123A", "15056bl", "gift_0001_20", "a.b-c", "0"} {
		if err := good.Validate(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []inventory.SKU{"", "-a", ".a", "a b", "ä", "a/b", "a\x00", inventory.SKU(strings.Repeat("a", 65))} {
		if bad.Validate() == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
