package commands

import (
	"context"
	"slices"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// ConfirmOrder says that stock is reserved, payment captured and shipment scheduled. For services.
type ConfirmOrder struct {
	Meta
	Order    order.ID `json:"order"`
	Payment  string   `json:"payment,omitzero"` // "" for an order that cost nothing
	Shipment string   `json:"shipment"`
}

// RequestCancel asks for an order to be cancelled. For its customer and for staff.
type RequestCancel struct {
	Meta
	Order  order.ID    `json:"order"`
	Cause  order.Cause `json:"cause,omitzero"` // default OTHER
	Reason string      `json:"reason"`         // as somebody typed it: stands in the event, sealed
}

// CancelOrder ends an order of which nothing is in effect any more. For services.
type CancelOrder struct {
	Meta
	Order  order.ID `json:"order"`
	Code   string   `json:"code"`
	Reason string   `json:"reason"`
}

// MarkShipped says that the parcel left.
type MarkShipped struct {
	Meta
	Order    order.ID `json:"order"`
	Shipment string   `json:"shipment"`
	Tracking string   `json:"tracking,omitzero"`
}

// MarkDelivered says that the parcel arrived.
type MarkDelivered struct {
	Meta
	Order order.ID `json:"order"`
}

// DeliverOrder says that the parcel arrived, to the shipment and to the order. For the warehouse.
type DeliverOrder struct {
	Meta
	Order order.ID `json:"order"`
}

// ReturnLines says that units come back. For the order's customer and for staff.
type ReturnLines struct {
	Meta
	Order     order.ID     `json:"order"`
	Lines     []ReturnLine `json:"lines"`
	Cause     order.Cause  `json:"cause,omitzero"` // default OTHER
	Reason    string       `json:"reason"`         // as somebody typed it: stands in the event, sealed; the import's own words in the clear
	Reference string       `json:"reference,omitzero"`
}

// ReturnLine is units of one line that come back. UnitPrice needs auth.SetPrices; by default it is what was paid.
type ReturnLine struct {
	Line      int           `json:"line"`
	Quantity  int64         `json:"quantity"`
	UnitPrice *money.Amount `json:"unitPrice,omitempty"`
}

// OrderChanged answers the commands of an order.
type OrderChanged struct {
	Receipt
	Order  order.ID     `json:"order"`
	Status order.Status `json:"status"` // as of now
}

// LinesReturned answers ReturnLines.
type LinesReturned struct {
	OrderChanged
	Return string       `json:"return"`
	Amount money.Amount `json:"amount"` // to be refunded
}

var (
	errCancelCode = fault.New(fault.Invalid, "CODE_MALFORMED", "a code is 1 to 64 characters, such as OUT_OF_STOCK").At("code")
)

// ConfirmOrder needs auth.Operate. Faults: those of order.Confirm and of every command.
func (h *Handlers) ConfirmOrder(ctx context.Context, p auth.Principal, c ConfirmOrder) (OrderChanged, error) {
	if err := p.Require(auth.Operate); err != nil {
		return OrderChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.changeOrder(ctx, p, "ConfirmOrder", meta, c.Order, c, func(s order.State) ([]order.Event, error) {
		return order.Confirm(s, c.Payment, c.Shipment)
	})
}

// RequestCancel is the right of the order's customer, or needs auth.ManageOrders. Faults: those of order.RequestCancel and of
// every command; an order of somebody else is order.ErrNotFound.
func (h *Handlers) RequestCancel(ctx context.Context, p auth.Principal, c RequestCancel) (OrderChanged, error) {
	if err := mayAsk(p); err != nil {
		return OrderChanged{}, err
	}
	n, err := h.said(ctx, p, c.Order, c.Cause, c.Reason)
	if err != nil {
		return OrderChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.beginSaid(ctx, p, "RequestCancel", meta, n, func(cause order.Cause, text string) any {
		c.Cause, c.Reason = cause, text
		return c
	}, func(recorded any) bool {
		e, ok := recorded.(order.CancelRequested)
		return ok && !e.Note.IsZero() && e.Reason == n.reason()
	})
	if err != nil {
		return OrderChanged{}, err
	}
	changed, _, err := h.onOrder(ctx, r, c.Order, func(s order.State) ([]order.Event, error) {
		return order.RequestCancel(s, n.cause, n.sealed)
	})
	return changed, err
}

// CancelOrder needs auth.Operate. Faults: those of order.Cancel and of every command.
func (h *Handlers) CancelOrder(ctx context.Context, p auth.Principal, c CancelOrder) (OrderChanged, error) {
	if err := p.Require(auth.Operate); err != nil {
		return OrderChanged{}, err
	}
	if !printable(c.Code, 1, 64) {
		return OrderChanged{}, errCancelCode
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.changeOrder(ctx, p, "CancelOrder", meta, c.Order, c, func(s order.State) ([]order.Event, error) {
		return order.Cancel(s, c.Code, c.Reason)
	})
}

// MarkShipped needs auth.Fulfil. Faults: those of order.MarkShipped and of every command.
func (h *Handlers) MarkShipped(ctx context.Context, p auth.Principal, c MarkShipped) (OrderChanged, error) {
	if err := p.Require(auth.Fulfil); err != nil {
		return OrderChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.changeOrder(ctx, p, "MarkShipped", meta, c.Order, c, func(s order.State) ([]order.Event, error) {
		return order.MarkShipped(s, c.Shipment, c.Tracking)
	})
}

// MarkDelivered needs auth.Fulfil. Faults: those of order.MarkDelivered and of every command.
func (h *Handlers) MarkDelivered(ctx context.Context, p auth.Principal, c MarkDelivered) (OrderChanged, error) {
	if err := p.Require(auth.Fulfil); err != nil {
		return OrderChanged{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	return h.changeOrder(ctx, p, "MarkDelivered", meta, c.Order, c, order.MarkDelivered)
}

// DeliverOrder needs auth.Fulfil. Nothing is recorded unless both the order and its shipment have left. Faults: those of
// order.MarkDelivered, shipment.Deliver and of every command.
func (h *Handlers) DeliverOrder(ctx context.Context, p auth.Principal, c DeliverOrder) (OrderChanged, error) {
	if err := p.Require(auth.Fulfil); err != nil {
		return OrderChanged{}, err
	}
	if err := c.Order.Validate(); err != nil {
		return OrderChanged{}, order.ErrIDMalformed.At("order")
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "DeliverOrder", meta, "", c)
	if err != nil {
		return OrderChanged{}, err
	}
	s, _, err := look(ctx, h, orders, r, string(c.Order), closeLook)
	if err != nil {
		return OrderChanged{}, err
	}
	if _, err := order.MarkDelivered(s); err != nil {
		return OrderChanged{}, err
	}
	_, _, err = execute(ctx, h, shipments, r.sub("shipment"), string(shipment.ForOrder(string(c.Order))),
		func(s shipment.State, _ eventstore.Revision) ([]shipment.Event, error) { return shipment.Deliver(s) })
	if err != nil {
		return OrderChanged{}, err
	}
	changed, _, err := h.onOrder(ctx, r, c.Order, order.MarkDelivered)
	return changed, err
}

// ReturnLines is the right of the order's customer, or needs auth.ManageOrders. The refund and the stock follow by the saga.
// Faults: ErrPriceForbidden, those of order.TakeBack and of every command; an order of somebody else is order.ErrNotFound.
func (h *Handlers) ReturnLines(ctx context.Context, p auth.Principal, c ReturnLines) (LinesReturned, error) {
	if err := c.check(p); err != nil {
		return LinesReturned{}, err
	}
	n, err := h.said(ctx, p, c.Order, c.Cause, c.Reason)
	if err != nil {
		return LinesReturned{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.beginSaid(ctx, p, "ReturnLines", meta, n, func(cause order.Cause, text string) any {
		c.Cause, c.Reason = cause, text
		return c
	}, func(recorded any) bool {
		e, ok := recorded.(order.Returned)
		return ok && !e.Note.IsZero() && e.Reason == n.reason() && c.asks(e.Lines)
	})
	if err != nil {
		return LinesReturned{}, err
	}
	r.Channel = channelOf(p, meta.Channel)
	back := order.Return{ID: r.derive("return"), Reason: n.reason(), Note: n.sealed, Reference: c.Reference, Channel: r.Channel, At: r.At}
	for _, l := range c.Lines {
		back.Lines = append(back.Lines, order.ReturnLine{Line: l.Line, Quantity: l.Quantity, UnitPrice: l.UnitPrice})
	}
	changed, s, err := h.onOrder(ctx, r, c.Order, func(s order.State) ([]order.Event, error) { return order.TakeBack(s, back) })
	return LinesReturned{OrderChanged: changed, Return: back.ID, Amount: s.Returns[back.ID]}, err
}

// asks reports whether the lines are those that came back. Only the import names prices.
func (c ReturnLines) asks(back []order.ReturnedLine) bool {
	return slices.EqualFunc(c.Lines, back, func(l ReturnLine, r order.ReturnedLine) bool { return l.Line == r.Line && l.Quantity == r.Quantity })
}

func (c ReturnLines) check(p auth.Principal) error {
	if err := mayAsk(p); err != nil {
		return err
	}
	if !printable(c.Reference, 0, 100) {
		return errReference
	}
	if len(c.Lines) > order.MaxLines {
		return order.ErrTooManyLines.At("lines")
	}
	if p.May(auth.SetPrices) {
		return nil
	}
	for _, l := range c.Lines {
		if l.UnitPrice != nil {
			return ErrPriceForbidden
		}
	}
	if c.Reference != "" {
		return ErrImportedOnly
	}
	return nil
}

// mayAsk lets customers and staff ask; whether the order is theirs is asked where it is known.
func mayAsk(p auth.Principal) error {
	if p.May(auth.Shop) {
		return nil
	}
	return p.Require(auth.ManageOrders)
}

// owned tells somebody else's order from one's own. To a customer the other's order is one that there is not.
func owned(p auth.Principal, s order.State) error {
	if s.Status == order.None || p.Owns(s.Customer, auth.ManageOrders) != nil {
		return order.ErrNotFound
	}
	return nil
}

func (h *Handlers) changeOrder(ctx context.Context, p auth.Principal, name string, m Meta, id order.ID, input any,
	decide func(order.State) ([]order.Event, error)) (OrderChanged, error) {
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return OrderChanged{}, err
	}
	changed, _, err := h.onOrder(ctx, r, id, decide)
	return changed, err
}

// onOrder executes on the order's stream, its country and channel in the envelope.
func (h *Handlers) onOrder(ctx context.Context, r request, id order.ID, decide func(order.State) ([]order.Event, error)) (OrderChanged, order.State, error) {
	if err := id.Validate(); err != nil {
		return OrderChanged{}, order.State{}, order.ErrIDMalformed.At("order")
	}
	known, err := findFixed(ctx, h, orders, r, string(id))
	if err != nil {
		return OrderChanged{}, order.State{}, err
	}
	r.Country, r.Channel = known.Country, or(r.Channel, known.Channel)
	receipt, s, err := execute(ctx, h, orders, r, string(id), func(s order.State, _ eventstore.Revision) ([]order.Event, error) { return decide(s) })
	return OrderChanged{Receipt: receipt, Order: id, Status: s.Status}, s, err
}
