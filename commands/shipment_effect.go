package commands

import (
	"context"
	"errors"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/vault"
)

// codeErased refuses a parcel for a person whose data was erased: nobody knows where it would go.
const codeErased = "RECIPIENT_ERASED"

var errCancelRefused = fault.New(fault.Unavailable, "SHIPMENT_CANCEL_REFUSED", "the carrier does not cancel the booking; it is tried again")

// A shipmentEffect is one command at work on one shipment.
type shipmentEffect struct {
	h       *Handlers
	r       request
	id      shipment.ID
	state   shipment.State
	receipt Receipt
	fresh   bool // this call stored the intent: nobody has asked the carrier yet
	release func()
}

func (h *Handlers) shipping(ctx context.Context, p auth.Principal, name string, m Meta, id order.ID, input any) (*shipmentEffect, error) {
	if err := id.Validate(); err != nil {
		return nil, order.ErrIDMalformed.At("order")
	}
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return nil, err
	}
	e := &shipmentEffect{h: h, r: r, id: shipment.ForOrder(string(id))}
	e.release, err = h.effects.acquire(ctx, eventstore.Shipment.Stream(string(e.id)))
	return e, err
}

func (e *shipmentEffect) execute(ctx context.Context, r request, decide func(shipment.State) ([]shipment.Event, error)) error {
	e.fresh = false
	receipt, s, err := execute(ctx, e.h, shipments, r, string(e.id), func(s shipment.State, _ eventstore.Revision) ([]shipment.Event, error) {
		events, err := decide(s)
		e.fresh = len(events) > 0
		return events, err
	})
	if err != nil {
		return err
	}
	e.state, e.receipt = s, receipt
	return nil
}

func (e *shipmentEffect) result() ShipmentResult {
	s := e.state
	return ShipmentResult{Receipt: e.receipt, Shipment: e.id, Status: s.Status, Tracking: s.Tracking, Code: s.Code, Reason: s.Reason}
}

// book asks the carrier to take the parcel; on a repeat it first asks whether it has. Name and address are opened here.
func (e *shipmentEffect) book(ctx context.Context, port carrier.Port) (shipment.Answer, error) {
	if !e.fresh {
		answer, nothing, err := e.booking(ctx, port)
		if err != nil || !nothing {
			return answer, unknown(err)
		}
	}
	opened, err := e.h.vault.OpenMany(ctx, []vault.Item{{Field: pii.Name, Sealed: e.state.Name}, {Field: pii.Address, Sealed: e.state.Address}})
	if err != nil {
		return shipment.Answer{}, err
	}
	for _, o := range opened {
		if errors.Is(o.Err, vault.ErrErased) {
			return shipment.Answer{Code: codeErased, Reason: "the recipient's data was erased"}, nil
		}
		if o.Err != nil {
			return shipment.Answer{}, o.Err
		}
	}
	out, err := port.Book(ctx, carrier.Parcel{Key: string(e.id), Country: e.state.Country, Name: string(opened[0].Plaintext),
		Address: string(opened[1].Plaintext), Pieces: e.state.Pieces()})
	switch {
	case err == nil:
		return answerOf(out), nil
	case fault.KindOf(err) == fault.Invalid:
		return shipment.Answer{Code: fault.CodeOf(err), Reason: fault.MessageOf(err)}, nil
	case ctx.Err() != nil:
		return shipment.Answer{}, unknown(err)
	}
	answer, nothing, asked := e.booking(ctx, port)
	if asked != nil || nothing {
		return shipment.Answer{}, unknown(err)
	}
	return answer, nil
}

// booking reads the outcome from how the booking stands at the carrier; nothing says that there is none.
func (e *shipmentEffect) booking(ctx context.Context, port carrier.Port) (answer shipment.Answer, nothing bool, err error) {
	st, err := port.Get(ctx, string(e.id))
	accepted := st.State == carrier.Booked || st.State == carrier.Dispatched
	return shipment.Answer{Accepted: accepted, Ref: st.Ref, Tracking: st.Tracking, Code: st.Code, Reason: st.Reason}, st.State == carrier.None, err
}

// cancel ends the booking at the carrier. A refusal carries the tracking number of the parcel that left.
func (e *shipmentEffect) cancel(ctx context.Context) (shipment.Answer, error) {
	port, err := e.h.ports.carrier(e.state.Carrier)
	if err != nil {
		return shipment.Answer{}, err
	}
	out, err := port.Cancel(ctx, string(e.id))
	if err != nil {
		return shipment.Answer{}, unknown(err)
	}
	if !out.Accepted && out.Code != carrier.CodeDispatched {
		return shipment.Answer{}, errCancelRefused
	}
	return answerOf(out), nil
}

// dispatch hands the parcel over. Asking again gives the same tracking number, so an unknown outcome needs no other question.
func (e *shipmentEffect) dispatch(ctx context.Context) (string, error) {
	port, err := e.h.ports.carrier(e.state.Carrier)
	if err != nil {
		return "", err
	}
	out, err := port.Dispatch(ctx, string(e.id))
	switch {
	case err != nil:
		return "", unknown(err)
	case out.Accepted:
		return out.Tracking, nil
	case out.Code == carrier.CodeCancelled:
		return "", shipment.ErrCancelled
	}
	return "", shipment.ErrNotScheduled
}

func answerOf(out carrier.Outcome) shipment.Answer {
	return shipment.Answer{Accepted: out.Accepted, Ref: out.Ref, Tracking: out.Tracking, Code: out.Code, Reason: out.Reason}
}
