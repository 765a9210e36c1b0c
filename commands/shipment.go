package commands

import (
	"context"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
)

var shipments = aggregate[shipment.State, shipment.Event]{category: eventstore.Shipment, evolve: shipment.Evolve}

// ScheduleShipment books a carrier for an order's parcel. For services: name and address come sealed, as the order has them.
type ScheduleShipment struct {
	Meta
	Order    order.ID        `json:"order"`
	Customer string          `json:"customer"`
	Carrier  string          `json:"carrier"`
	Country  string          `json:"country"`
	Name     pii.Sealed      `json:"name,omitzero"`
	Address  pii.Sealed      `json:"address,omitzero"`
	Lines    []shipment.Line `json:"lines"`
}

// CancelShipment cancels the booking, and keeps one that was never made from being made. For services.
type CancelShipment struct {
	Meta
	Order    order.ID `json:"order"`
	Customer string   `json:"customer,omitzero"` // of the tombstone; read from the order by default
	Reason   string   `json:"reason"`
}

// DispatchShipment hands the parcel of a confirmed order to the carrier.
type DispatchShipment struct {
	Meta
	Order order.ID `json:"order"`
}

// DeliverShipment says that the parcel arrived.
type DeliverShipment struct {
	Meta
	Order order.ID `json:"order"`
}

// ShipmentResult answers the commands of a shipment. It is as complete beside a refusal as without one.
type ShipmentResult struct {
	Receipt
	Shipment shipment.ID     `json:"shipment"`
	Status   shipment.Status `json:"status"` // as of now
	Tracking string          `json:"tracking,omitzero"`
	Code     string          `json:"code,omitzero"` // why it was refused
	Reason   string          `json:"reason,omitzero"`
}

// ScheduleShipment needs auth.Operate. Faults: shipment.ErrRefused, ErrCancelled, ErrEmpty, ErrUnknownCarrier; one of kind Timeout or
// Unavailable while the outcome is unknown.
func (h *Handlers) ScheduleShipment(ctx context.Context, p auth.Principal, c ScheduleShipment) (ShipmentResult, error) {
	if err := p.Require(auth.Operate); err != nil {
		return ShipmentResult{}, err
	}
	port, err := h.ports.carrier(c.Carrier)
	if err != nil {
		return ShipmentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.shipping(ctx, p, "ScheduleShipment", meta, c.Order, c)
	if err != nil {
		return ShipmentResult{}, err
	}
	defer e.release()
	e.r.Country = c.Country
	of := shipment.Of{Shipment: e.id, Order: string(c.Order), Customer: c.Customer}
	parcel := shipment.Parcel{Carrier: c.Carrier, Country: c.Country, Name: c.Name, Address: c.Address, Lines: c.Lines}
	if err := e.execute(ctx, e.r, func(s shipment.State) ([]shipment.Event, error) { return shipment.Request(s, of, parcel) }); err != nil {
		return e.result(), err
	}
	var answer shipment.Answer
	if e.state.Status == shipment.StatusRequested {
		if answer, err = e.book(ctx, port); err != nil {
			return e.result(), err
		}
	}
	err = e.execute(ctx, e.r.sub("outcome"), func(s shipment.State) ([]shipment.Event, error) { return shipment.SettleBooking(s, answer) })
	if err != nil {
		return e.result(), err
	}
	return e.result(), e.state.Refusal()
}

// CancelShipment needs auth.Operate. Faults: shipment.ErrDispatched if the parcel left before; one of kind Timeout or
// Unavailable while the outcome is unknown.
func (h *Handlers) CancelShipment(ctx context.Context, p auth.Principal, c CancelShipment) (ShipmentResult, error) {
	if err := p.Require(auth.Operate); err != nil {
		return ShipmentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.shipping(ctx, p, "CancelShipment", meta, c.Order, c)
	if err != nil {
		return ShipmentResult{}, err
	}
	defer e.release()
	of := shipment.Of{Shipment: e.id, Order: string(c.Order), Customer: c.Customer}
	if c.Customer == "" {
		s, err := findFixed(ctx, h, orders, e.r, string(c.Order))
		if err != nil {
			return ShipmentResult{}, err
		}
		of.Customer = s.Customer
	}
	err = e.execute(ctx, e.r, func(s shipment.State) ([]shipment.Event, error) { return shipment.RequestCancel(s, of, c.Reason) })
	if err != nil {
		return e.result(), err
	}
	var answer shipment.Answer
	if e.state.Status == shipment.StatusCancelling {
		if answer, err = e.cancel(ctx); err != nil {
			return e.result(), err
		}
	}
	err = e.execute(ctx, e.r.sub("outcome"), func(s shipment.State) ([]shipment.Event, error) { return shipment.SettleCancel(s, answer) })
	if err == nil && e.state.Status == shipment.StatusDispatched {
		err = shipment.ErrDispatched
	}
	return e.result(), err
}

// DispatchShipment needs auth.Fulfil. Nothing leaves before the order is confirmed, that is paid and reserved. Faults:
// order.ErrNotFound, ErrNotConfirmed, ErrCancelled; those of shipment.Dispatch; one of kind Timeout or Unavailable while the
// outcome is unknown.
func (h *Handlers) DispatchShipment(ctx context.Context, p auth.Principal, c DispatchShipment) (ShipmentResult, error) {
	if err := p.Require(auth.Fulfil); err != nil {
		return ShipmentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.shipping(ctx, p, "DispatchShipment", meta, c.Order, c)
	if err != nil {
		return ShipmentResult{}, err
	}
	defer e.release()
	if err := h.confirmed(ctx, e.r, c.Order); err != nil {
		return ShipmentResult{}, err
	}
	if e.state, _, err = look(ctx, h, shipments, e.r, string(e.id), closeLook); err != nil {
		return ShipmentResult{}, err
	}
	tracking := e.state.Tracking
	if e.state.Status == shipment.StatusScheduled {
		if tracking, err = e.dispatch(ctx); err != nil {
			return e.result(), err
		}
	} else if err := e.state.Refusal(); err != nil {
		return e.result(), err
	}
	err = e.execute(ctx, e.r, func(s shipment.State) ([]shipment.Event, error) { return shipment.Dispatch(s, tracking) })
	return e.result(), err
}

// DeliverShipment needs auth.Fulfil. Faults: those of shipment.Deliver and of every command.
func (h *Handlers) DeliverShipment(ctx context.Context, p auth.Principal, c DeliverShipment) (ShipmentResult, error) {
	if err := p.Require(auth.Fulfil); err != nil {
		return ShipmentResult{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	e, err := h.shipping(ctx, p, "DeliverShipment", meta, c.Order, c)
	if err != nil {
		return ShipmentResult{}, err
	}
	defer e.release()
	err = e.execute(ctx, e.r, shipment.Deliver)
	return e.result(), err
}

// confirmed refuses an order that is not confirmed; a quick look that says so is repeated closely.
func (h *Handlers) confirmed(ctx context.Context, r request, id order.ID) error {
	for _, l := range []looker{quickLook, closeLook} {
		s, _, err := look(ctx, h, orders, r, string(id), l)
		switch {
		case err != nil:
			return err
		case s.Status == order.StatusConfirmed || s.Status == order.StatusShipped || s.Status == order.StatusDelivered:
			return nil
		case l == quickLook:
		case s.Status == order.None:
			return order.ErrNotFound
		case s.Status == order.StatusCancelled:
			return order.ErrCancelled
		}
	}
	return order.ErrNotConfirmed
}
