package commands

import (
	"context"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
)

// stock is the streams inventory-<sku>.
var stock = aggregate[inventory.State, inventory.Event]{category: eventstore.Inventory, evolve: inventory.Evolve, snapshots: stockSnapshots}

// ReceiveStock adds units that came into the house.
type ReceiveStock struct {
	Meta
	SKU       inventory.SKU `json:"sku"`
	Quantity  int64         `json:"quantity"`
	Reference string        `json:"reference,omitzero"` // delivery note or the like; at most 100 characters
}

// AdjustStock corrects the units on hand.
type AdjustStock struct {
	Meta
	SKU      inventory.SKU        `json:"sku"`
	Cause    inventory.Adjustment `json:"cause"`
	Quantity int64                `json:"quantity"` // write_off: units that are gone; count: units that were found
	Why      string               `json:"why"`      // stands in the event
}

// SetStockThreshold says at how many available units stock counts as low; 0 switches it off.
type SetStockThreshold struct {
	Meta
	SKU       inventory.SKU `json:"sku"`
	Threshold int64         `json:"threshold"`
}

// StockChanged answers the commands of one SKU's stock with the numbers after it.
type StockChanged struct {
	Receipt
	SKU       inventory.SKU `json:"sku"`
	OnHand    int64         `json:"onHand"`
	Reserved  int64         `json:"reserved"`
	Available int64         `json:"available"`
	Threshold int64         `json:"threshold"`
}

// ReceiveStock needs auth.ManageStock. Faults: those of inventory.Receive and of every command.
func (h *Handlers) ReceiveStock(ctx context.Context, p auth.Principal, c ReceiveStock) (StockChanged, error) {
	if !printable(c.Reference, 0, 100) {
		return StockChanged{}, errReference
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.stock(ctx, p, "ReceiveStock", meta, c.SKU, c, func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Receive(s, c.SKU, c.Quantity, c.Reference)
	})
}

// AdjustStock needs auth.ManageStock. Faults: those of inventory.Adjust and of every command.
func (h *Handlers) AdjustStock(ctx context.Context, p auth.Principal, c AdjustStock) (StockChanged, error) {
	if !printable(c.Why, 1, 500) {
		return StockChanged{}, errWhy
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.stock(ctx, p, "AdjustStock", meta, c.SKU, c, func(s inventory.State) ([]inventory.Event, error) {
		return inventory.Adjust(s, c.SKU, c.Cause, c.Quantity, c.Why)
	})
}

// SetStockThreshold needs auth.ManageStock. Faults: those of inventory.SetThreshold and of every command.
func (h *Handlers) SetStockThreshold(ctx context.Context, p auth.Principal, c SetStockThreshold) (StockChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	return h.stock(ctx, p, "SetStockThreshold", meta, c.SKU, c, func(s inventory.State) ([]inventory.Event, error) {
		return inventory.SetThreshold(s, c.SKU, c.Threshold)
	})
}

// stock runs one decision on a SKU's stream.
func (h *Handlers) stock(ctx context.Context, p auth.Principal, name string, m Meta, sku inventory.SKU, input any,
	decide func(inventory.State) ([]inventory.Event, error)) (StockChanged, error) {
	if err := p.Require(auth.ManageStock); err != nil {
		return StockChanged{}, err
	}
	if sku.Validate() != nil {
		return StockChanged{}, inventory.ErrSKUMalformed.At("sku")
	}
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return StockChanged{}, err
	}
	done, s, err := execute(ctx, h, stock, r, string(sku), func(s inventory.State, _ eventstore.Revision) ([]inventory.Event, error) {
		return decide(s)
	})
	return StockChanged{Receipt: done, SKU: sku, OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available(), Threshold: s.Threshold}, err
}
