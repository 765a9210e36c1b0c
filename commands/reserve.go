package commands

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
)

// ReserveLines sets stock aside for all lines of an order, or for none.
//
// An order's SKUs are streams of their own, and no append covers two of them. So one stream decides for all: the LAST SKU
// in SKU order is reserved only after every other one is, and its append is the moment at which the order is reserved.
//
//   - If a SKU refuses, the call first bars the last SKU (inventory.Bar: a tombstone, unless it is reserved) and only then
//     gives the others back. Expected revisions let exactly one of {reserve, bar} stand in the last SKU's stream first, so
//     whichever calls of this command run at once, in whichever processes, they all come to the same answer: if the bar
//     lost, the order is reserved and the refused call ends as accepted; if it won, nobody can complete the reservation.
//   - A call that dies leaves nothing that the next call of the same command does not complete or undo: each step is
//     repeatable by (order, line), and tombstones refuse whatever comes late.
//   - Therefore the SKUs before the last may be written abreast, in any order. Undoing stays right because nothing is given
//     back before the bar stands, and the last SKU is never written before the others hold.
//   - Where the lines of one SKU are too many for one append, they are several groups; the last group decides.
//
// SKU order has another use: of two orders that want the same last units of two SKUs, one must win rather than each take one
// and both be refused. That matters only where units are few, so a SKU is written abreast only if Plenty would be left; the
// scarce ones are written one after the other in SKU order.
type ReserveLines struct {
	Meta
	Order order.ID    `json:"order"`
	Lines []OrderLine `json:"lines"`
}

const (
	reserveAttempts = 3 // each after another call of the same command completed the reservation
	namedShort      = 5 // SKUs named in the message; all of them are in LinesMoved.Short
)

// errScarce puts a SKU off to the part that goes in SKU order.
var errScarce = fault.New(fault.Conflict, "SCARCE", "few are left")

// ReserveLines needs auth.Operate or auth.ManageStock. Faults: inventory.ErrOutOfStock with the short SKUs in LinesMoved.Short;
// inventory.ErrReleased if the order's reservation was given back before; inventory.ErrLineDiffers, which undoes nothing, since
// such a command is not the one that reserved; and those of every command.
func (h *Handlers) ReserveLines(ctx context.Context, p auth.Principal, c ReserveLines) (LinesMoved, error) {
	if err := mayMove(p); err != nil {
		return LinesMoved{}, err
	}
	groups, err := bySKU(c.Order, c.Lines, true)
	if err != nil {
		return LinesMoved{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "ReserveLines", meta, "", c)
	if err != nil {
		return LinesMoved{}, err
	}
	for range reserveAttempts {
		a := reservation{h: h, r: r, order: c.Order, groups: groups, receipts: make([]Receipt, len(groups)), refusals: make([]error, len(groups))}
		err := a.run(ctx)
		if err == nil && a.refused() == nil {
			return LinesMoved{Receipt: latest(r, a.receipts), Order: c.Order}, nil
		}
		if err == nil {
			err = a.undo(ctx)
		}
		if errors.Is(err, inventory.ErrAlreadyReserved) {
			continue
		}
		if err != nil {
			return LinesMoved{}, err
		}
		return LinesMoved{Receipt: latest(r, a.receipts), Order: c.Order, Short: a.short()}, a.refused()
	}
	return LinesMoved{}, ErrBusy
}

// A reservation is one call's way through the SKUs of an order.
type reservation struct {
	h        *Handlers
	r        request
	order    order.ID
	groups   []group   // in SKU order; the last one decides
	receipts []Receipt // by group
	refusals []error   // by group: why it can't be reserved
}

// run reserves as far as nothing refuses; what refuses is noted, everything else that goes wrong is returned.
func (a *reservation) run(ctx context.Context) error {
	last := len(a.groups) - 1
	scarce := make([]bool, len(a.groups))
	running, abreastCtx := errgroup.WithContext(ctx)
	running.SetLimit(abreast)
	for i := range last {
		running.Go(func() error {
			err := a.reserve(abreastCtx, i, true)
			if scarce[i] = errors.Is(err, errScarce); scarce[i] {
				return nil
			}
			return a.note(i, err)
		})
	}
	if err := running.Wait(); err != nil {
		return err
	}
	for i := range a.groups {
		if !scarce[i] && i != last {
			continue
		}
		if err := a.note(i, a.reserve(ctx, i, false)); err != nil {
			return err
		}
	}
	return nil
}

// reserve reserves one SKU. Once another SKU refused, it only looks whether this one would refuse too.
func (a *reservation) reserve(ctx context.Context, i int, plentyOnly bool) (err error) {
	g, lookOnly := a.groups[i], !plentyOnly && a.refused() != nil
	a.receipts[i], _, err = execute(ctx, a.h, stock, a.r.sub("reserve/"+g.part), string(g.sku),
		func(s inventory.State, _ eventstore.Revision) ([]inventory.Event, error) {
			events, err := inventory.Reserve(s, g.sku, string(a.order), g.lines...)
			switch {
			case err != nil:
				return nil, err
			case lookOnly:
				return nil, nil
			case plentyOnly && len(events) > 0 && !inventory.Plenty(s, g.lines...):
				return nil, errScarce
			}
			return events, nil
		})
	return err
}

// note keeps a refusal of the domain and returns every other fault.
func (a *reservation) note(i int, err error) error {
	for _, refusal := range []error{inventory.ErrOutOfStock, inventory.ErrUndone, inventory.ErrReleased} {
		if errors.Is(err, refusal) {
			a.refusals[i] = refusal
			return nil
		}
	}
	return err
}

// undo bars the last SKU, then gives the others back, so that nothing of the order is or can be reserved. If the order
// turns out to be reserved, it changes nothing: ErrAlreadyReserved.
func (a *reservation) undo(ctx context.Context) error {
	last := len(a.groups) - 1
	if err := a.free(ctx, last, "bar/", inventory.Bar); err != nil {
		return err
	}
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(abreast)
	for i := range last {
		running.Go(func() error { return a.free(ctx, i, "undo/", inventory.Release) })
	}
	return running.Wait()
}

func (a *reservation) free(ctx context.Context, i int, part string,
	decide func(inventory.State, inventory.SKU, string, string, ...inventory.Line) ([]inventory.Event, error)) (err error) {
	g, reason := a.groups[i], inventory.ReasonUndone
	if errors.Is(a.refusals[i], inventory.ErrOutOfStock) {
		reason = inventory.ReasonShort
	}
	a.receipts[i], _, err = execute(ctx, a.h, stock, a.r.sub(part+g.part), string(g.sku),
		func(s inventory.State, _ eventstore.Revision) ([]inventory.Event, error) {
			return decide(s, g.sku, string(a.order), reason, g.lines...)
		})
	return err
}

// refused returns the call's refusal: that the order was released, otherwise that it is out of stock; nil if nothing refused.
func (a *reservation) refused() error {
	if slices.ContainsFunc(a.refusals, func(err error) bool { return errors.Is(err, inventory.ErrReleased) }) {
		return inventory.ErrReleased
	}
	if !slices.ContainsFunc(a.refusals, func(err error) bool { return err != nil }) {
		return nil
	}
	short := a.short()
	if len(short) == 0 {
		return inventory.ErrOutOfStock
	}
	names := make([]string, 0, namedShort)
	for _, sku := range short[:min(len(short), namedShort)] {
		names = append(names, string(sku))
	}
	if more := len(short) - len(names); more > 0 {
		return inventory.ErrOutOfStock.Because("there is not enough in stock of %s and %d more; order less, or later", strings.Join(names, ", "), more)
	}
	return inventory.ErrOutOfStock.Because("there is not enough in stock of %s; order less, or later", strings.Join(names, ", "))
}

// short returns the SKUs that were short, in SKU order.
func (a *reservation) short() []inventory.SKU {
	var short []inventory.SKU
	for i, err := range a.refusals {
		if errors.Is(err, inventory.ErrOutOfStock) {
			short = append(short, a.groups[i].sku)
		}
	}
	return slices.Compact(short)
}
