package commands

import (
	"context"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
)

// carts are the streams cart-<id>.
var carts = aggregate[cart.State, cart.Event]{category: eventstore.Cart, evolve: cart.Evolve}

// OpenCart opens a cart for the caller, if it is a customer, or for the customer that is named.
type OpenCart struct {
	Meta
	Customer customer.ID    `json:"customer,omitzero"`
	Currency money.Currency `json:"currency"`
}

// AddItem puts units of a product into the cart, beside those that are there.
type AddItem struct {
	Meta
	Cart     cart.ID     `json:"cart"`
	SKU      product.SKU `json:"sku"`
	Quantity int64       `json:"quantity"`
}

// ChangeItem sets the units of a product that is in the cart.
type ChangeItem struct {
	Meta
	Cart     cart.ID     `json:"cart"`
	SKU      product.SKU `json:"sku"`
	Quantity int64       `json:"quantity"`
}

// RemoveItem takes a product out of the cart.
type RemoveItem struct {
	Meta
	Cart cart.ID     `json:"cart"`
	SKU  product.SKU `json:"sku"`
}

// CartChanged answers the commands of a cart.
type CartChanged struct {
	Receipt
	Cart cart.ID `json:"cart"`
}

// OpenCart is for a customer itself or needs auth.ManageOrders. Faults: customer.ErrMissing if nobody of this id is
// registered, those of cart.Open and of every command.
func (h *Handlers) OpenCart(ctx context.Context, p auth.Principal, c OpenCart) (CartChanged, error) {
	if c.Customer == "" && p.Kind == auth.Customer {
		c.Customer = customer.ID(p.ID)
	}
	if err := p.Owns(string(c.Customer), auth.ManageOrders); err != nil {
		return CartChanged{}, err
	}
	if c.Customer.Validate() != nil {
		return CartChanged{}, customer.ErrIDMalformed.At("customer")
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "OpenCart", meta, "", c)
	if err != nil {
		return CartChanged{}, err
	}
	buyer, err := find(ctx, h, customers, r, string(c.Customer))
	if err != nil {
		return CartChanged{}, err
	}
	if !buyer.Exists() {
		return CartChanged{}, customer.ErrMissing.At("customer")
	}
	id := cart.ID(r.derive("cart"))
	done, _, err := execute(ctx, h, carts, r, string(id), func(s cart.State, _ eventstore.Revision) ([]cart.Event, error) {
		return cart.Open(s, id, string(c.Customer), c.Currency)
	})
	return CartChanged{Receipt: done, Cart: id}, err
}

// AddItem is for the cart's customer or needs auth.ManageOrders. The product must be on sale in the cart's currency. Faults:
// product.ErrMissing, product.ErrDiscontinued, cart.ErrCurrency, those of cart.AddItem and of every command.
func (h *Handlers) AddItem(ctx context.Context, p auth.Principal, c AddItem) (CartChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.beginItem(ctx, p, "AddItem", meta, c.Cart, c.SKU, c)
	if err != nil {
		return CartChanged{}, err
	}
	wanted, refusal := h.onSale(ctx, r, string(c.SKU))
	return h.cart(ctx, r, c.Cart, func(s cart.State) ([]cart.Event, error) {
		switch {
		case refusal != nil: // here, so that a repeat is answered although the product is sold no more
			return nil, refusal
		case s.Exists() && wanted.Price.Currency != s.Currency:
			return nil, cart.ErrCurrency
		}
		return cart.AddItem(s, string(c.SKU), c.Quantity)
	})
}

// ChangeItem is for the cart's customer or needs auth.ManageOrders. Faults: those of cart.ChangeItem and of every command.
func (h *Handlers) ChangeItem(ctx context.Context, p auth.Principal, c ChangeItem) (CartChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.beginItem(ctx, p, "ChangeItem", meta, c.Cart, c.SKU, c)
	if err != nil {
		return CartChanged{}, err
	}
	return h.cart(ctx, r, c.Cart, func(s cart.State) ([]cart.Event, error) {
		return cart.ChangeItem(s, string(c.SKU), c.Quantity)
	})
}

// RemoveItem is for the cart's customer or needs auth.ManageOrders. Faults: those of cart.RemoveItem and of every command.
func (h *Handlers) RemoveItem(ctx context.Context, p auth.Principal, c RemoveItem) (CartChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.beginItem(ctx, p, "RemoveItem", meta, c.Cart, c.SKU, c)
	if err != nil {
		return CartChanged{}, err
	}
	return h.cart(ctx, r, c.Cart, func(s cart.State) ([]cart.Event, error) {
		return cart.RemoveItem(s, string(c.SKU))
	})
}

// beginItem is begin for a command that names a cart and a product. Whose cart it is, is asked in the decision.
func (h *Handlers) beginItem(ctx context.Context, p auth.Principal, name string, m Meta, id cart.ID, sku product.SKU, input any) (request, error) {
	if err := mayShop(p); err != nil {
		return request{}, err
	}
	if id.Validate() != nil {
		return request{}, cart.ErrIDMalformed.At("cart")
	}
	if sku.Validate() != nil {
		return request{}, product.ErrSKUMalformed.At("sku")
	}
	return h.begin(ctx, p, name, m, "", input)
}

func mayShop(p auth.Principal) error {
	if p.May(auth.Shop) {
		return nil
	}
	return p.Require(auth.ManageOrders)
}

// cart runs one decision on a cart's stream, if the cart is the caller's. To a customer a cart of somebody else and no cart at
// all are the same refusal.
func (h *Handlers) cart(ctx context.Context, r request, id cart.ID, decide func(cart.State) ([]cart.Event, error)) (CartChanged, error) {
	done, _, err := execute(ctx, h, carts, r, string(id), func(s cart.State, _ eventstore.Revision) ([]cart.Event, error) {
		if err := r.Principal.Owns(s.Customer, auth.ManageOrders); err != nil {
			return nil, err
		}
		return decide(s)
	})
	return CartChanged{Receipt: done, Cart: id}, err
}

// onSale returns the product. Faults: product.ErrMissing, product.ErrDiscontinued.
func (h *Handlers) onSale(ctx context.Context, r request, sku string) (product.State, error) {
	s, err := find(ctx, h, products, r, sku)
	switch {
	case err != nil:
		return s, err
	case !s.Exists():
		return s, product.ErrMissing.At("sku")
	case !s.OnSale():
		return s, product.ErrDiscontinued.At("sku")
	}
	return s, nil
}
