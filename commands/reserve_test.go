package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/auth"
)

var stockWorker = auth.Internal("inventory")

// stockOf reads a SKU's stock to its end.
func (h *Handlers) stockOf(t testing.TB, sku string) inventory.State {
	t.Helper()
	s, _, err := look(t.Context(), h, stock, request{}, sku, closeLook)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h *Handlers) supply(t testing.TB, quantity int64, skus ...string) {
	t.Helper()
	for _, sku := range skus {
		if _, err := h.ReceiveStock(t.Context(), stockWorker, ReceiveStock{SKU: inventory.SKU(sku), Quantity: quantity}); err != nil {
			t.Fatal(err)
		}
	}
}

// wants is a command that reserves one unit of each SKU.
func wants(id string, skus ...string) ReserveLines {
	c := ReserveLines{Meta: Meta{IdempotencyKey: "reserve-" + id}, Order: order.ID(id)}
	for i, sku := range skus {
		c.Lines = append(c.Lines, OrderLine{Line: i + 1, SKU: inventory.SKU(sku), Quantity: 1})
	}
	return c
}

// steps returns where each line of the command stands.
func (h *Handlers) steps(t testing.TB, c ReserveLines) []inventory.Step {
	t.Helper()
	var steps []inventory.Step
	for _, l := range c.Lines {
		steps = append(steps, h.stockOf(t, string(l.SKU)).Line(string(c.Order), l.Line).Step)
	}
	return steps
}

func all(n int, s inventory.Step) []inventory.Step { return slices.Repeat([]inventory.Step{s}, n) }

func TestTenUnitsAreSoldTenTimes(t *testing.T) {
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes, " processes"), func(t *testing.T) {
			h := newHouse(t)
			var ps []*Handlers
			for range processes {
				ps = append(ps, h.process(t, Ports{}))
			}
			ps[0].supply(t, 10, "HOT")
			sold, refused := 0, 0
			var mu sync.Mutex
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					_, err := ps[i%processes].ReserveLines(t.Context(), stockWorker, wants(fmt.Sprint("o", i), "HOT"))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						sold++
					case errors.Is(err, inventory.ErrOutOfStock):
						refused++
					default:
						t.Error(err)
					}
				})
			}
			group.Wait()
			s := ps[0].stockOf(t, "HOT")
			if sold != 10 || refused != 40 || s.Reserved != 10 || s.OnHand != 10 {
				t.Errorf("%d sold, %d refused; %d on hand, %d reserved", sold, refused, s.OnHand, s.Reserved)
			}
		})
	}
}

func TestAnOrderIsReservedWhole(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	p.supply(t, 100, "A", "B", "C")
	c := wants("o1", "C", "A", "B", "A")
	first, err := p.ReserveLines(t.Context(), stockWorker, c)
	if err != nil || first.Order != "o1" || first.Short != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if diff := cmp.Diff(all(4, inventory.Held), p.steps(t, c)); diff != "" {
		t.Error(diff)
	}
	again, err := h.process(t, Ports{}).ReserveLines(t.Context(), stockWorker, c)
	if err != nil || !again.Replayed || again.Position != first.Position || again.Command != first.Command {
		t.Errorf("first %+v, again %+v, %v", first, again, err)
	}
	c.Lines[0].Quantity = 2
	if _, err := p.ReserveLines(t.Context(), stockWorker, c); !errors.Is(err, ErrKeyReused) {
		t.Errorf("other lines under the key: %v", err)
	}
	if s := p.stockOf(t, "A"); s.Reserved != 2 {
		t.Errorf("%d of A reserved", s.Reserved)
	}
}

func TestAShortOrderReservesNothingForGood(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	p.supply(t, 100, "A", "C", "E")
	for _, c := range []ReserveLines{
		wants("middle", "A", "B", "C"), wants("last", "A", "C", "Z"), wants("first", "0", "A", "C"),
		wants("several", "A", "B", "C", "D", "E", "F"), wants("only", "B"),
	} {
		var missing []inventory.SKU
		for _, l := range c.Lines {
			if !strings.Contains("ACE", string(l.SKU)) {
				missing = append(missing, l.SKU)
			}
		}
		for i, p := range []*Handlers{p, p, h.process(t, Ports{})} {
			if i == 2 { // now there would be enough; but the order has its answer
				h.process(t, Ports{}).supply(t, 5, "B", "D", "F", "Z", "0")
			}
			got, err := p.ReserveLines(t.Context(), stockWorker, c)
			if !errors.Is(err, inventory.ErrOutOfStock) || !slices.Equal(got.Short, missing) {
				t.Errorf("%s, call %d: short %v, want %v: %v", c.Order, i, got.Short, missing, err)
			}
			if !strings.Contains(err.Error(), string(missing[0])) {
				t.Errorf("%s: the message names nothing: %v", c.Order, err)
			}
		}
		if diff := cmp.Diff(all(len(c.Lines), inventory.Freed), p.steps(t, c)); diff != "" {
			t.Errorf("%s: %s", c.Order, diff)
		}
		for _, sku := range []string{"B", "D", "F", "Z", "0"} {
			if _, err := p.AdjustStock(t.Context(), stockWorker, AdjustStock{SKU: inventory.SKU(sku), Cause: inventory.Count, Quantity: 0, Why: "test"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, sku := range []string{"A", "C", "E"} {
		if s := p.stockOf(t, sku); s.Reserved != 0 || s.OnHand != 100 {
			t.Errorf("%s: %d on hand, %d reserved", sku, s.OnHand, s.Reserved)
		}
	}
}

// TestAllCallsOfOneCommandAgree lets one command run many times at once, in two processes, while stock that it lacks comes in. Whatever
// the outcome, all calls must tell the same one, and it must be so.
func TestAllCallsOfOneCommandAgree(t *testing.T) {
	h := newHouse(t)
	ps := []*Handlers{h.process(t, Ports{}), h.process(t, Ports{})}
	reservedOrders, refusedOrders := 0, 0
	for round := range 30 {
		skus := []string{}
		for i := range 5 {
			skus = append(skus, fmt.Sprintf("R%d-%d", round, i))
		}
		short := round % 5
		ps[0].supply(t, 1+int64(round%3), slices.Delete(slices.Clone(skus), short, short+1)...)
		c := wants(fmt.Sprint("o", round), skus...)
		var mu sync.Mutex
		answers := map[string]int{}
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				_, err := ps[i%2].ReserveLines(t.Context(), stockWorker, c)
				answer := "reserved"
				if errors.Is(err, inventory.ErrOutOfStock) {
					answer = "short"
				} else if err != nil {
					t.Error(err)
				}
				mu.Lock()
				answers[answer]++
				mu.Unlock()
			})
		}
		group.Go(func() { ps[round%2].supply(t, 1, skus[short]) })
		group.Wait()
		want := inventory.Held
		if answers["short"] > 0 {
			want = inventory.Freed
			refusedOrders++
		} else {
			reservedOrders++
		}
		if len(answers) != 1 {
			t.Errorf("round %d: calls of one command answered %v", round, answers)
		}
		if diff := cmp.Diff(all(5, want), ps[0].steps(t, c)); diff != "" {
			t.Errorf("round %d, %v: %s", round, answers, diff)
		}
	}
	t.Logf("%d reserved, %d refused", reservedOrders, refusedOrders)
}

// TestOfTwoOrdersForTheLastUnitsOneWins: neither both (oversold) nor none (each took what the other lacked).
func TestOfTwoOrdersForTheLastUnitsOneWins(t *testing.T) {
	h := newHouse(t)
	ps := []*Handlers{h.process(t, Ports{}), h.process(t, Ports{})}
	for round := range 30 {
		skus := []string{}
		for i := range 6 {
			skus = append(skus, fmt.Sprintf("T%d-%d", round, i))
		}
		ps[0].supply(t, 1, skus...)
		won := make([]bool, 2)
		var group sync.WaitGroup
		for i, p := range ps {
			group.Go(func() {
				lines := slices.Clone(skus)
				if i == 1 {
					slices.Reverse(lines)
				}
				_, err := p.ReserveLines(t.Context(), stockWorker, wants(fmt.Sprintf("o%d-%d", round, i), lines...))
				if won[i] = err == nil; err != nil && !errors.Is(err, inventory.ErrOutOfStock) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won[0] == won[1] {
			t.Errorf("round %d: %v", round, won)
		}
	}
}

// TestAnyPointOfDeath ends a call after each of its steps; the next call of the same command brings it to an end.
func TestAnyPointOfDeath(t *testing.T) {
	for _, died := range []string{"before the bar", "after the bar"} {
		t.Run(died, func(t *testing.T) {
			h := newHouse(t)
			p := h.process(t, Ports{})
			p.supply(t, 100, "A", "C")
			c := wants("o", "A", "B", "C")
			groups, err := bySKU(c.Order, c.Lines, true)
			if err != nil {
				t.Fatal(err)
			}
			input := c
			input.Meta = Meta{}
			r, err := p.begin(t.Context(), stockWorker, "ReserveLines", c.Meta, "", input)
			if err != nil {
				t.Fatal(err)
			}
			a := reservation{h: p, r: r, order: c.Order, groups: groups, receipts: make([]Receipt, 3), refusals: make([]error, 3)}
			if err := a.run(t.Context()); err != nil || a.refused() == nil {
				t.Fatalf("%v, refused %v", err, a.refused())
			}
			if p.stockOf(t, "A").Reserved != 1 || p.stockOf(t, "C").Reserved != 0 {
				t.Fatal("the last SKU must not be reserved once another refused")
			}
			if died == "after the bar" {
				if err := a.free(t.Context(), 2, "bar/", inventory.Bar); err != nil {
					t.Fatal(err)
				}
			}
			p.supply(t, 5, "B") // meanwhile there is enough
			after := h.process(t, Ports{})
			_, err = after.ReserveLines(t.Context(), stockWorker, c)
			want := all(3, inventory.Held) // nobody was told of a refusal, so it may be decided anew
			if died == "after the bar" {
				want = all(3, inventory.Freed)
				if !errors.Is(err, inventory.ErrOutOfStock) {
					t.Errorf("barred, and yet %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, after.steps(t, c)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAReleaseBeforeTheReservationRefusesIt(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	p.supply(t, 100, "A", "B")
	c := wants("o", "A", "B")
	release := ReleaseLines{Meta: Meta{IdempotencyKey: "r"}, Order: "o", Lines: c.Lines, Why: "CANCELLED"}
	for range 2 {
		if _, err := p.ReleaseLines(t.Context(), stockWorker, release); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.ReserveLines(t.Context(), stockWorker, c); !errors.Is(err, inventory.ErrReleased) {
		t.Errorf("the late reservation: %v", err)
	}
	if diff := cmp.Diff(all(2, inventory.Freed), p.steps(t, c)); diff != "" {
		t.Error(diff)
	}
}

func TestALinesWayThroughTheHouse(t *testing.T) {
	h := newHouse(t)
	p, q := h.process(t, Ports{}), h.process(t, Ports{})
	p.supply(t, 100, "A", "B")
	c := wants("o", "A", "B", "A")
	if _, err := p.ReserveLines(t.Context(), stockWorker, c); err != nil {
		t.Fatal(err)
	}
	ship := ShipLines{Meta: Meta{IdempotencyKey: "s"}, Order: "o", Lines: c.Lines}
	var first LinesMoved
	for i, h := range []*Handlers{p, q, p} {
		got, err := h.ShipLines(t.Context(), stockWorker, ship)
		if err != nil || i > 0 && (got.Position != first.Position || !got.Replayed) {
			t.Fatalf("call %d: %+v, first %+v, %v", i, got, first, err)
		}
		first = got
	}
	if _, err := p.ReleaseLines(t.Context(), stockWorker, ReleaseLines{Order: "o", Lines: c.Lines, Why: "too late"}); !errors.Is(err, inventory.ErrAlreadyShipped) {
		t.Errorf("released what left: %v", err)
	}
	back := RestockLines{Order: "o", Return: "r1", Lines: c.Lines[:1]}
	for range 2 { // with a new key each: the return's id makes it one
		if _, err := p.RestockLines(t.Context(), stockWorker, back); err != nil {
			t.Fatal(err)
		}
	}
	back.Return = "r2"
	if _, err := p.RestockLines(t.Context(), stockWorker, back); !errors.Is(err, inventory.ErrReturnTooLarge) {
		t.Errorf("came back twice: %v", err)
	}
	if a, b := q.stockOf(t, "A"), q.stockOf(t, "B"); a.OnHand != 99 || b.OnHand != 99 || a.Reserved+b.Reserved != 0 {
		t.Errorf("A %d/%d, B %d/%d", a.OnHand, a.Reserved, b.OnHand, b.Reserved)
	}
}

// TestTheLargestOrder has 2,000 equal lines: more than one append holds.
func TestTheLargestOrder(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	p.supply(t, 3_999, "A")
	twice := wants("twice", slices.Repeat([]string{"A"}, maxOrderLines)...)
	for i := range twice.Lines {
		twice.Lines[i].Quantity = 2
	}
	got, err := p.ReserveLines(t.Context(), stockWorker, twice)
	if !errors.Is(err, inventory.ErrOutOfStock) || !slices.Equal(got.Short, []inventory.SKU{"A"}) {
		t.Errorf("one unit too few: short %v, %v", got.Short, err)
	}
	once := wants("once", slices.Repeat([]string{"A"}, maxOrderLines)...)
	if _, err := p.ReserveLines(t.Context(), stockWorker, once); err != nil {
		t.Error(err)
	}
	if _, err := p.ShipLines(t.Context(), stockWorker, ShipLines{Order: once.Order, Lines: once.Lines}); err != nil {
		t.Error(err)
	}
	if s := p.stockOf(t, "A"); s.OnHand != 1_999 || s.Reserved != 0 {
		t.Errorf("%d on hand, %d reserved", s.OnHand, s.Reserved)
	}
}

func TestMalformedLinesAreRefused(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	many := wants("o")
	for i := range maxOrderLines + 1 {
		many.Lines = append(many.Lines, OrderLine{Line: i + 1, SKU: "A", Quantity: 1})
	}
	for name, c := range map[string]struct {
		command ReserveLines
		want    error
	}{
		"none":             {wants("o"), errLineCount},
		"too many":         {many, errLineCount},
		"one number twice": {ReserveLines{Order: "o", Lines: []OrderLine{{1, "A", 1}, {1, "B", 1}}}, inventory.ErrLines},
		"number 0":         {ReserveLines{Order: "o", Lines: []OrderLine{{0, "A", 1}}}, inventory.ErrLines},
		"less than one":    {ReserveLines{Order: "o", Lines: []OrderLine{{1, "A", -1}}}, inventory.ErrLines},
		"absurdly many":    {ReserveLines{Order: "o", Lines: []OrderLine{{1, "A", 1 << 60}}}, inventory.ErrLines},
		"no SKU":           {ReserveLines{Order: "o", Lines: []OrderLine{{1, "$all", 1}}}, inventory.ErrSKUMalformed},
		"no order":         {ReserveLines{Order: "", Lines: []OrderLine{{1, "A", 1}}}, order.ErrIDMalformed},
	} {
		if _, err := p.ReserveLines(t.Context(), stockWorker, c.command); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	buyer := auth.Principal{Kind: auth.Customer, ID: "c", Roles: []auth.Role{auth.RoleCustomer}}
	if _, err := p.ReserveLines(t.Context(), buyer, wants("o", "A")); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("a customer: %v", err)
	}
	if _, err := p.ReceiveStock(context.Background(), auth.Nobody(), ReceiveStock{SKU: "A", Quantity: 1}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
}

// BenchmarkReserveOrders reserves orders of 20 lines out of 2,000 SKUs, 32 orders at once.
func BenchmarkReserveOrders(b *testing.B) {
	p := newHouse(b).process(b, Ports{})
	skus := make([]string, 2000)
	var group sync.WaitGroup
	for part := range 20 {
		for i := range 100 {
			skus[part*100+i] = fmt.Sprint("S", part*100+i)
		}
		group.Go(func() { p.supply(b, 1_000_000, skus[part*100:part*100+100]...) })
	}
	group.Wait()
	b.ResetTimer()
	work := make(chan int)
	for range 32 {
		group.Go(func() {
			for i := range work {
				lines := make([]string, 20)
				for l := range lines {
					lines[l] = skus[(i*37+l*101)%len(skus)]
				}
				if _, err := p.ReserveLines(context.Background(), stockWorker, wants(fmt.Sprint("o", i), lines...)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	group.Wait()
	b.ReportMetric(float64(20*b.N)/b.Elapsed().Seconds(), "lines/s")
}
