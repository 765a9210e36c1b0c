package commands

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
)

// OrderLine is one line of an order, as stock keeping sees it.
type OrderLine struct {
	Line     int           `json:"line"` // number in the order, from 1
	SKU      inventory.SKU `json:"sku"`
	Quantity int64         `json:"quantity"`
}

// ReleaseLines gives the reservations of an order back; what was not reserved is refused should it come later.
type ReleaseLines struct {
	Meta
	Order order.ID    `json:"order"`
	Lines []OrderLine `json:"lines,omitzero"` // none: all lines of the placed order; quantities don't matter
	Why   string      `json:"why"`            // stands in the events
}

// ShipLines takes reserved lines of an order out of the house.
type ShipLines struct {
	Meta
	Order order.ID    `json:"order"`
	Lines []OrderLine `json:"lines"`
}

// RestockLines brings units of an order that came back on hand again.
type RestockLines struct {
	Meta
	Order  order.ID    `json:"order"`
	Return string      `json:"return"`
	Lines  []OrderLine `json:"lines"`
}

// LinesMoved answers the stock commands of an order. The receipt is that of the stream whose event stands last in the log.
type LinesMoved struct {
	Receipt
	Order order.ID        `json:"order"`
	Short []inventory.SKU `json:"short,omitzero"` // beside the fault OUT_OF_STOCK: the SKUs that were short
}

const (
	maxOrderLines = order.MaxLines
	abreast       = 8   // streams of one order that are written at the same time
	together      = 400 // lines in one append: about 300 KiB of events, beside what else shares the append
)

// The refusals of an order's lines.
var (
	errLineCount = fault.Newf(fault.Invalid, "LINE_COUNT_OUT_OF_RANGE", "name 1 to %d lines", maxOrderLines).At("lines")
	errReturn    = fault.New(fault.Invalid, "RETURN_ID_MALFORMED", "name the return that the units came back with").At("return")
)

// ReleaseLines needs auth.Operate or auth.ManageStock. It may be repeated, and what one call left undone the next one does.
// Faults: those of inventory.Release (ErrAlreadyShipped), order.ErrNotFound if no lines are named and there is no order.
func (h *Handlers) ReleaseLines(ctx context.Context, p auth.Principal, c ReleaseLines) (LinesMoved, error) {
	if err := mayMove(p); err != nil {
		return LinesMoved{}, err
	}
	if !printable(c.Why, 1, 500) {
		return LinesMoved{}, errWhy
	}
	meta, lines := c.Meta, c.Lines
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "ReleaseLines", meta, "", c)
	if err != nil {
		return LinesMoved{}, err
	}
	if len(lines) == 0 {
		if lines, err = h.linesOf(ctx, r, c.Order); err != nil {
			return LinesMoved{}, err
		}
	}
	groups, err := bySKU(c.Order, lines, false)
	if err != nil {
		return LinesMoved{}, err
	}
	return h.move(ctx, r, c.Order, groups, func(s inventory.State, g group) ([]inventory.Event, error) {
		return inventory.Release(s, g.sku, string(c.Order), c.Why, g.lines...)
	})
}

// ShipLines needs auth.Operate or auth.ManageStock. It may be repeated, and what one call left undone the next one does.
// Faults: those of inventory.Ship.
func (h *Handlers) ShipLines(ctx context.Context, p auth.Principal, c ShipLines) (LinesMoved, error) {
	if err := mayMove(p); err != nil {
		return LinesMoved{}, err
	}
	groups, err := bySKU(c.Order, c.Lines, true)
	if err != nil {
		return LinesMoved{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "ShipLines", meta, "", c)
	if err != nil {
		return LinesMoved{}, err
	}
	return h.move(ctx, r, c.Order, groups, func(s inventory.State, g group) ([]inventory.Event, error) {
		return inventory.Ship(s, g.sku, string(c.Order), g.lines...)
	})
}

// RestockLines needs auth.Operate or auth.ManageStock. It may be repeated, and what one call left undone the next one does.
// Faults: those of inventory.Restock.
func (h *Handlers) RestockLines(ctx context.Context, p auth.Principal, c RestockLines) (LinesMoved, error) {
	if err := mayMove(p); err != nil {
		return LinesMoved{}, err
	}
	if !printable(c.Return, 1, 64) {
		return LinesMoved{}, errReturn
	}
	groups, err := bySKU(c.Order, c.Lines, true)
	if err != nil {
		return LinesMoved{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "RestockLines", meta, "", c)
	if err != nil {
		return LinesMoved{}, err
	}
	return h.move(ctx, r, c.Order, groups, func(s inventory.State, g group) ([]inventory.Event, error) {
		return inventory.Restock(s, g.sku, string(c.Order), c.Return, g.lines...)
	})
}

// mayMove lets the saga's workers and the warehouse move an order's lines.
func mayMove(p auth.Principal) error {
	if p.May(auth.Operate) {
		return nil
	}
	return p.Require(auth.ManageStock)
}

// linesOf returns the lines that the order was placed with; they never change.
func (h *Handlers) linesOf(ctx context.Context, r request, id order.ID) ([]OrderLine, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	s, err := find(ctx, h, orders, r, string(id))
	if err != nil {
		return nil, err
	}
	if len(s.Lines) == 0 {
		return nil, order.ErrNotFound
	}
	lines := make([]OrderLine, 0, len(s.Lines))
	for _, l := range s.Lines {
		lines = append(lines, OrderLine{Line: l.Line, SKU: inventory.SKU(l.SKU), Quantity: l.Quantity})
	}
	return lines, nil
}

// A group is the lines of an order that concern one SKU: they share one stream, one decision and one append. Of more than
// together lines of one SKU there are several groups, since an append has a limit.
type group struct {
	sku   inventory.SKU
	part  string // names the group among those of the order, for the ids of its commands
	lines []inventory.Line
}

// bySKU checks the lines and returns them by SKU, in SKU order.
func bySKU(id order.ID, lines []OrderLine, quantities bool) ([]group, error) {
	if err := id.Validate(); err != nil {
		return nil, order.ErrIDMalformed.At("order")
	}
	if len(lines) == 0 || len(lines) > maxOrderLines {
		return nil, errLineCount
	}
	seen := make(map[int]bool, len(lines))
	found := map[inventory.SKU]*group{}
	for _, l := range lines {
		switch {
		case l.SKU.Validate() != nil:
			return nil, inventory.ErrSKUMalformed.At("lines", "sku")
		case l.Line < 1 || seen[l.Line] || quantities && (l.Quantity < 1 || l.Quantity > inventory.MaxQuantity):
			return nil, inventory.ErrLines.At("lines")
		}
		seen[l.Line] = true
		if found[l.SKU] == nil {
			found[l.SKU] = &group{sku: l.SKU}
		}
		found[l.SKU].lines = append(found[l.SKU].lines, inventory.Line{Line: l.Line, Quantity: l.Quantity})
	}
	groups := make([]group, 0, len(found))
	for _, sku := range slices.Sorted(maps.Keys(found)) {
		i := 0
		for lines := range slices.Chunk(found[sku].lines, together) {
			groups = append(groups, group{sku: sku, part: string(sku) + "/" + strconv.Itoa(i), lines: lines})
			i++
		}
	}
	return groups, nil
}

// move runs one decision on the stream of each SKU, several abreast. The decisions are repeatable by (order, line) and none
// depends on another, so a call that ends half way is finished by the next one.
func (h *Handlers) move(ctx context.Context, r request, id order.ID, groups []group, decide func(inventory.State, group) ([]inventory.Event, error)) (LinesMoved, error) {
	receipts := make([]Receipt, len(groups))
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(abreast)
	for i, g := range groups {
		running.Go(func() (err error) {
			receipts[i], _, err = execute(ctx, h, stock, r.sub(g.part), string(g.sku), func(s inventory.State, _ eventstore.Revision) ([]inventory.Event, error) {
				return decide(s, g)
			})
			return err
		})
	}
	err := running.Wait()
	return LinesMoved{Receipt: latest(r, receipts), Order: id}, err
}

// latest returns the receipt of what stands last in the log, under the whole command's id.
func latest(r request, receipts []Receipt) Receipt {
	last, replayed := Receipt{Revision: eventstore.NoStream}, true
	for _, done := range receipts {
		if done.Stream != "" && done.Position >= last.Position {
			last = done
		}
		replayed = replayed && done.Replayed
	}
	last.Command, last.Store, last.Replayed = r.Command, r.Store, replayed && last.Stream != ""
	return last
}
