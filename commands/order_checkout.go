package commands

import (
	"context"
	"encoding/json"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// PlaceCheckedOut places the order of a cart that was checked out, in case whoever checked out could not. For services.
type PlaceCheckedOut struct {
	Meta
	Cart cart.ID `json:"cart"`
}

var errNotCheckedOut = fault.New(fault.Conflict, "CART_NOT_CHECKED_OUT", "the cart is not checked out")

// PlaceCheckedOut needs auth.Operate. Whoever places the order of a cart, there is one. Faults: cart.ErrMissing,
// CART_NOT_CHECKED_OUT, ErrUnknownCustomer and those of every command.
func (h *Handlers) PlaceCheckedOut(ctx context.Context, p auth.Principal, c PlaceCheckedOut) (PlacedOrder, error) {
	if err := p.Require(auth.Operate); err != nil {
		return PlacedOrder{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "PlaceCheckedOut", meta, "", c)
	if err != nil {
		return PlacedOrder{}, err
	}
	s, _, err := look(ctx, h, carts, r, string(c.Cart), closeLook)
	switch {
	case err != nil:
		return PlacedOrder{}, err
	case !s.Exists():
		return PlacedOrder{}, cart.ErrMissing
	case s.Checkout == nil:
		return PlacedOrder{}, errNotCheckedOut
	}
	return h.placeCheckedOut(ctx, p, r, *s.Checkout)
}

// placeCheckedOut places the order that the cart's checkout named. The command id comes from the cart alone, so that the
// process that checked out and the saga that makes sure are one command, and so is the input that is compared: the event.
func (h *Handlers) placeCheckedOut(ctx context.Context, p auth.Principal, from request, e cart.CheckedOut) (PlacedOrder, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return PlacedOrder{}, fault.Wrap(err, fault.Internal, "COMMAND_UNENCODABLE", "the checkout can't be encoded")
	}
	r := from
	r.Principal, r.Name, r.Causation = p, "PlaceCheckedOut", from.Command.String()
	r.Command = eventstore.CommandID("cart", string(e.Cart), "PlaceCheckedOut", e.Order)
	if r.MAC, err = h.vault.MAC(ctx, pii.Subject(e.Customer), body); err != nil {
		return PlacedOrder{}, err
	}
	buyer, revision, err := look(ctx, h, customers, r, e.Customer, quickLook)
	if err == nil && !buyer.Exists() {
		buyer, revision, err = look(ctx, h, customers, r, e.Customer, closeLook)
	}
	if err != nil {
		return PlacedOrder{}, err
	}
	id := order.ID(e.Order)
	pl := order.Placement{Order: id, Number: numberOf(id), Customer: e.Customer, Currency: e.Total.Currency, Country: e.Country,
		Address: e.Address, Tender: order.Tender{Provider: DefaultProvider, Token: e.Tender}, Carrier: DefaultCarrier,
		Channel: or(from.Channel, "web"), Cart: string(e.Cart), PlacedAt: r.At}
	for _, l := range e.Lines {
		pl.Items = append(pl.Items, order.Item{SKU: l.SKU, Quantity: l.Quantity,
			Offer: order.Offer{Exists: true, OnSale: true, Name: l.Name, Price: l.UnitPrice, Revision: l.ProductRevision}})
	}
	pl = boughtBy(pl, buyer, revision)
	r.Country, r.Channel = pl.Country, pl.Channel
	return h.place(ctx, r, pl, !buyer.Exists())
}
