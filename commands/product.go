package commands

import (
	"context"

	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
)

// products are the streams product-<sku>.
var products = aggregate[product.State, product.Event]{category: eventstore.Product, evolve: product.Evolve, snapshots: productSnapshots}

// CreateProduct puts a product into the catalogue.
type CreateProduct struct {
	Meta
	SKU         product.SKU  `json:"sku"`
	Name        string       `json:"name"`
	Description string       `json:"description,omitzero"`
	Price       money.Amount `json:"price"` // of one unit
}

// ReviseProduct changes what is given; nil leaves a field as it is.
type ReviseProduct struct {
	Meta
	SKU         product.SKU   `json:"sku"`
	Name        *string       `json:"name,omitempty"`
	Description *string       `json:"description,omitempty"`
	Price       *money.Amount `json:"price,omitempty"`
}

// DiscontinueProduct ends the sale for good.
type DiscontinueProduct struct {
	Meta
	SKU product.SKU `json:"sku"`
	Why string      `json:"why"` // stands in the event
}

// ProductChanged answers the commands of a product.
type ProductChanged struct {
	Receipt
	SKU product.SKU `json:"sku"`
}

// CreateProduct needs auth.ManageCatalog. Faults: those of product.Create and of every command.
func (h *Handlers) CreateProduct(ctx context.Context, p auth.Principal, c CreateProduct) (ProductChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	return h.product(ctx, p, "CreateProduct", meta, c.SKU, c, func(s product.State) ([]product.Event, error) {
		return product.Create(s, c.SKU, c.Name, c.Description, c.Price)
	})
}

// ReviseProduct needs auth.ManageCatalog. Faults: those of product.Revise and of every command.
func (h *Handlers) ReviseProduct(ctx context.Context, p auth.Principal, c ReviseProduct) (ProductChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	return h.product(ctx, p, "ReviseProduct", meta, c.SKU, c, func(s product.State) ([]product.Event, error) {
		return product.Revise(s, product.Revision{Name: c.Name, Description: c.Description, Price: c.Price})
	})
}

// DiscontinueProduct needs auth.ManageCatalog. Faults: those of product.Discontinue and of every command.
func (h *Handlers) DiscontinueProduct(ctx context.Context, p auth.Principal, c DiscontinueProduct) (ProductChanged, error) {
	meta := c.Meta
	c.Meta = Meta{}
	return h.product(ctx, p, "DiscontinueProduct", meta, c.SKU, c, func(s product.State) ([]product.Event, error) {
		return product.Discontinue(s, c.Why)
	})
}

// product runs one decision on a product's stream.
func (h *Handlers) product(ctx context.Context, p auth.Principal, name string, m Meta, sku product.SKU, input any,
	decide func(product.State) ([]product.Event, error)) (ProductChanged, error) {
	if err := p.Require(auth.ManageCatalog); err != nil {
		return ProductChanged{}, err
	}
	if sku.Validate() != nil {
		return ProductChanged{}, product.ErrSKUMalformed.At("sku")
	}
	r, err := h.begin(ctx, p, name, m, "", input)
	if err != nil {
		return ProductChanged{}, err
	}
	done, _, err := execute(ctx, h, products, r, string(sku), func(s product.State, _ eventstore.Revision) ([]product.Event, error) {
		return decide(s)
	})
	return ProductChanged{Receipt: done, SKU: sku}, err
}
