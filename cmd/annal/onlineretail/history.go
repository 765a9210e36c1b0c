package onlineretail

import (
	"context"
	"time"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
)

// A history is what earlier imports left in the shop. A file may be another one with the same sales in it: mended, with other line ends, or
// of more months. What was sold, stocked and taken back already is so whatever file says it again.
type history struct {
	orders  map[order.ID]bool
	stocked map[string]int64            // units of opening stock, by SKU
	sold    map[string]int64            // units that orders of imports asked for, by SKU
	returns map[string][]order.Returned // by the cancelling invoice
}

const openingStock = "opening stock"

// readHistory goes through the log once. Faults: those of the store, aggregates.ErrUnknownEvent, aggregates.ErrEventMalformed.
func readHistory(ctx context.Context, store *eventstore.Client) (*history, error) {
	h := &history{orders: map[order.ID]bool{}, stocked: map[string]int64{}, sold: map[string]int64{}, returns: map[string][]order.Returned{}}
	for rec, err := range store.ReadAll(ctx, 0, eventstore.Filter{Categories: []eventstore.Category{eventstore.Order, eventstore.Inventory}}) {
		if err != nil {
			return nil, err
		}
		switch rec.Type {
		case order.TypePlaced, order.TypeReturned, inventory.TypeReceived:
			if err := h.take(rec); err != nil {
				return nil, err
			}
		}
	}
	return h, nil
}

func (h *history) take(rec eventstore.Recorded) error {
	e, err := aggregates.Decode(rec.Type, rec.Data)
	if err != nil {
		return err
	}
	switch e := e.(type) {
	case order.Placed:
		if e.Channel != channel {
			return nil
		}
		h.orders[e.Order] = true
		for _, l := range e.Lines {
			h.sold[l.SKU] += l.Quantity
		}
	case order.Returned:
		if e.Channel == channel {
			h.returns[e.Reference] = append(h.returns[e.Reference], e)
		}
	case inventory.Received:
		if e.Reference != openingStock {
			return nil
		}
		m, err := eventstore.DecodeMetadata(rec.Metadata)
		if err == nil && m.Actor.Kind == string(importer.Kind) {
			h.stocked[string(e.SKU)] += e.Quantity
		}
		return err
	}
	return nil
}

// missing returns how many units of each SKU the plan's orders that are not there yet sell beyond the opening stock that earlier imports, which
// may have been interrupted, brought for orders that they did not place.
func (h *history) missing(p *Plan) map[string]int64 {
	need := map[string]int64{}
	for _, o := range p.Orders {
		if !h.orders[o.id()] {
			for _, l := range o.Lines {
				need[l.SKU] += l.Quantity
			}
		}
	}
	for sku := range need {
		need[sku] -= max(0, h.stocked[sku]-h.sold[sku])
	}
	return need
}

// contradicted returns the cancellations, by invoice and day, that stand in the shop against other orders or other units than in the plan: with
// more sales in the file another one may be the most plausible, and taking units back from that as well would refund them twice.
func (h *history) contradicted(p *Plan) map[cancellation]bool {
	planned := map[cancellation]map[order.ID]Return{}
	wrong := map[cancellation]bool{}
	for _, r := range p.Returns {
		of := r.of()
		if planned[of] == nil {
			planned[of] = map[order.ID]Return{}
		}
		planned[of][p.Orders[r.Order].id()] = r
	}
	for _, r := range p.Returns {
		for _, there := range h.returns[r.Invoice] {
			of := cancellation{r.Invoice, there.ReturnedAt.In(r.At.Location()).Format(time.DateOnly)}
			same, known := planned[of][there.Order]
			if of == r.of() && (!known || !same.says(there.Lines)) {
				wrong[of] = true
			}
		}
	}
	return wrong
}

// cancellation is a cancelling invoice on one day.
type cancellation struct{ invoice, day string }

func (r Return) of() cancellation { return cancellation{r.Invoice, r.At.Format(time.DateOnly)} }

// says reports whether these units of these lines are what the return takes back.
func (r Return) says(there []order.ReturnedLine) bool {
	units := map[int]int64{}
	for _, l := range r.Lines {
		units[l.Line] += l.Quantity
	}
	for _, l := range there {
		units[l.Line] -= l.Quantity
	}
	for _, left := range units {
		if left != 0 {
			return false
		}
	}
	return true
}
