package onlineretail

import (
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates/order"
)

func planOf(t *testing.T, lines ...string) *Plan {
	t.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Read(strings.NewReader("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"+strings.Join(lines, "\n")+"\n"), zone)
	if err != nil {
		t.Fatal(err)
	}
	return Arrange(s)
}

const (
	july1 = "890001,72001,MUG,10,2011-07-01 10:00:00,2.00,29001,United Kingdom"
	july2 = "890002,72001,MUG,10,2011-07-02 10:00:00,2.00,29001,United Kingdom"
	back5 = "C890003,72001,MUG,-5,2011-07-05 00:30:00,2.00,29001,United Kingdom" // the day before in UTC
)

// Opening stock is for the orders that are not there yet, whatever file brought those that are, and was brought for them once.
func TestOpeningStockIsBroughtOnce(t *testing.T) {
	first, both := planOf(t, july1), planOf(t, july1, july2)
	there := map[order.ID]bool{first.Orders[0].id(): true}
	for name, x := range map[string]struct {
		h    history
		want int64
	}{
		"an empty shop":                    {history{}, 20},
		"the first order is there":         {history{orders: there, stocked: map[string]int64{"72001": 10}, sold: map[string]int64{"72001": 10}}, 10},
		"interrupted before the second":    {history{orders: there, stocked: map[string]int64{"72001": 20}, sold: map[string]int64{"72001": 10}}, 0},
		"interrupted before any order":     {history{stocked: map[string]int64{"72001": 20}}, 0},
		"more was sold than was brought":   {history{orders: there, stocked: map[string]int64{"72001": 5}, sold: map[string]int64{"72001": 10}}, 10},
		"interrupted while it was brought": {history{stocked: map[string]int64{"72001": 4}}, 16},
	} {
		if got := x.h.missing(both)["72001"]; got != x.want {
			t.Errorf("%s: %d units, want %d", name, got, x.want)
		}
	}
}

// A cancellation that was taken from one order is not taken from another as well because a file has more sales.
func TestACancellationThatStandsElsewhereIsNotRefundedAgain(t *testing.T) {
	before, mended := planOf(t, july1, back5), planOf(t, july1, july2, back5)
	stands := func(p *Plan) *history {
		r := p.Returns[0]
		e := order.Returned{Order: p.Orders[r.Order].id(), Reference: r.Invoice, Channel: channel, ReturnedAt: r.At.UTC()}
		for _, l := range r.Lines {
			e.Lines = append(e.Lines, order.ReturnedLine{Line: l.Line, Quantity: l.Quantity})
		}
		return &history{returns: map[string][]order.Returned{r.Invoice: {e}}}
	}
	if wrong := stands(before).contradicted(before); len(wrong) != 0 {
		t.Errorf("a second import of the same file is refused: %v", wrong)
	}
	if wrong := (&history{}).contradicted(mended); len(wrong) != 0 {
		t.Errorf("a first import is refused: %v", wrong)
	}
	if wrong := stands(before).contradicted(mended); !wrong[mended.Returns[0].of()] {
		t.Errorf("the return of order %d would be given back twice: %v", mended.Returns[0].Order, wrong)
	}
	fewer := stands(before)
	fewer.returns["C890003"][0].Lines[0].Quantity = 3
	if wrong := fewer.contradicted(before); len(wrong) != 1 {
		t.Error("other units of the same line are not noticed")
	}
}
