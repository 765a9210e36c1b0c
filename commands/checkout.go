package commands

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// CheckOut turns a cart into an order at the catalogue's prices of this moment.
//
// It is two appends: the cart's CheckedOut, which is the decision and carries everything, and the order's Placed. If the
// process dies between them, the repeat of the command, or the saga that follows carts (PlaceCheckedOut), appends the second;
// the order's id is in the first, so there is one order however often it is placed.
type CheckOut struct {
	Meta
	Cart    cart.ID           `json:"cart"`
	Label   string            `json:"label,omitzero"`    // of an address in the customer's book, or
	Address *customer.Address `json:"address,omitempty"` // an address of this order's own
	Tender  string            `json:"tender"`            // the payment method's token at the provider
}

// CheckedOut answers CheckOut. The embedded receipt is the order's, which stands behind the cart's in the log.
type CheckedOut struct {
	PlacedOrder
	Cart cart.ID `json:"cart"`
}

var errOneAddress = fault.New(fault.Invalid, "ADDRESS_NEEDED", "give either an address, or the label of one in the customer's book").At("address")

// CheckOut is for the cart's customer or needs auth.ManageOrders. Faults: product.ErrMissing and product.ErrDiscontinued with the
// item's SKU as path, those of cart.CheckOut, of the address, of placing the order, and of every command.
func (h *Handlers) CheckOut(ctx context.Context, p auth.Principal, c CheckOut) (CheckedOut, error) {
	if err := checkCheckOut(p, c); err != nil {
		return CheckedOut{}, err
	}
	owner, err := h.ownerOf(ctx, p, c)
	if err != nil {
		return CheckedOut{}, err
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "CheckOut", meta, owner, c)
	if err != nil {
		return CheckedOut{}, err
	}
	d, refusal := h.delivery(ctx, r, owner, c)
	r.Country = d.Country
	_, s, err := execute(ctx, h, carts, r, string(c.Cart), func(s cart.State, _ eventstore.Revision) ([]cart.Event, error) {
		if err := p.Owns(s.Customer, auth.ManageOrders); err != nil {
			return nil, err
		}
		if refusal != nil { // here, so that a repeat is answered although the address has left the book
			return nil, refusal
		}
		if s.Checkout != nil {
			return nil, cart.ErrCheckedOut
		}
		lines, err := h.price(ctx, r, s) // waits for the store; nobody else waits for this cart
		if err != nil {
			return nil, err
		}
		return cart.CheckOut(s, lines, d)
	})
	if err != nil {
		return CheckedOut{}, err
	}
	placed, err := h.placeCheckedOut(ctx, p, r, *s.Checkout)
	return CheckedOut{PlacedOrder: placed, Cart: c.Cart}, err
}

func checkCheckOut(p auth.Principal, c CheckOut) error {
	if err := mayShop(p); err != nil {
		return err
	}
	switch {
	case c.Cart.Validate() != nil:
		return cart.ErrIDMalformed.At("cart")
	case (c.Label == "") == (c.Address == nil):
		return errOneAddress
	case c.Address != nil:
		if err := checkAddress(*c.Address); err != nil {
			return err
		}
	}
	return validToken(order.Tender{Provider: DefaultProvider, Token: c.Tender})
}

// ownerOf returns the person whose personal data the command holds: the cart's customer, which never changes.
func (h *Handlers) ownerOf(ctx context.Context, p auth.Principal, c CheckOut) (pii.Subject, error) {
	if p.Kind == auth.Customer {
		return pii.Subject(p.ID), nil // another one's cart is refused in the decision
	}
	s, err := find(ctx, h, carts, request{}, string(c.Cart))
	if err == nil && !s.Exists() {
		return "", cart.ErrMissing
	}
	return pii.Subject(s.Customer), err
}

// delivery says where the order goes and how it is paid. An address from the book is copied as it was sealed.
func (h *Handlers) delivery(ctx context.Context, r request, owner pii.Subject, c CheckOut) (cart.Delivery, error) {
	d := cart.Delivery{Order: r.derive("order"), Tender: c.Tender}
	if c.Address != nil {
		var err error
		d.Country = c.Address.Country
		d.Address, err = h.sealAddress(ctx, owner, *c.Address)
		return d, err
	}
	s, _, err := look(ctx, h, customers, r, string(owner), closeLook)
	if err != nil {
		return d, err
	}
	entry, found := s.Address(c.Label)
	if !found {
		return d, customer.ErrAddressMissing
	}
	d.Country, d.Address = entry.Country, entry.Address
	return d, nil
}

// price reads the catalogue's price of each item, several abreast, and records at which revision it saw it.
func (h *Handlers) price(ctx context.Context, r request, s cart.State) ([]cart.Line, error) {
	lines := make([]cart.Line, len(s.Items))
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(abreast)
	for i, item := range s.Items {
		running.Go(func() error {
			offered, rev, err := look(ctx, h, products, r, item.SKU, quickLook)
			if err == nil && !offered.OnSale() {
				offered, rev, err = look(ctx, h, products, r, item.SKU, closeLook)
			}
			switch {
			case err != nil:
				return err
			case !offered.Exists():
				return product.ErrMissing.At("items", item.SKU)
			case !offered.OnSale():
				return product.ErrDiscontinued.At("items", item.SKU)
			}
			lines[i] = cart.Line{SKU: item.SKU, Name: offered.Name, Quantity: item.Quantity, UnitPrice: offered.Price, ProductRevision: int64(rev)}
			return nil
		})
	}
	return lines, running.Wait()
}
