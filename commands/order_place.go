package commands

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// seal returns what the order is placed with as far as the command says it, personal data sealed for the subject.
func (h *Handlers) seal(ctx context.Context, r request, c PlaceOrder, subject pii.Subject) (order.Placement, error) {
	id := order.ID(r.derive("order"))
	pl := order.Placement{Order: id, Number: numberOf(id), Customer: c.Customer, Currency: c.Currency, Country: c.Country,
		Priority: order.Normal, Language: customer.DefaultLanguage, Tender: c.Tender, Carrier: c.Carrier, Channel: c.Channel,
		Reference: c.Reference, PlacedAt: r.At}
	if c.Address != nil {
		body, err := json.Marshal(c.Address)
		if err != nil {
			return pl, fault.Wrap(err, fault.Internal, "ADDRESS_UNENCODABLE", "the address can't be encoded")
		}
		if pl.Address, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Address, body); err != nil {
			return pl, err
		}
	}
	if c.Guest == nil {
		return pl, nil
	}
	pl.Guest, pl.Customer = true, string(subject)
	var err error
	if pl.Name, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Name, []byte(c.Guest.Name)); err != nil {
		return pl, err
	}
	pl.Email, err = h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Email, []byte(c.Guest.Email))
	return pl, err
}

// stale reports whether the refusal may come from a look that was too quick.
func stale(err error) bool {
	return errors.Is(err, order.ErrUnknownProduct) || errors.Is(err, order.ErrNotOnSale) || errors.Is(err, ErrUnknownCustomer) ||
		errors.Is(err, order.ErrMixedCurrencies) || errors.Is(err, ErrAddressNeeded)
}

func (h *Handlers) placeWith(ctx context.Context, r request, c PlaceOrder, pl order.Placement, l looker) (PlacedOrder, error) {
	buyer, revision, offers, err := h.lookUp(ctx, r, c, pl.Guest, l)
	if err != nil {
		return PlacedOrder{}, err
	}
	if pl.Country == "" {
		if entry, ok := buyer.Address(c.AddressLabel); ok {
			pl.Address, pl.Country = entry.Address, entry.Country
		}
	}
	if !pl.Guest {
		pl = boughtBy(pl, buyer, revision)
	}
	for _, line := range c.Lines {
		pl.Items = append(pl.Items, order.Item{SKU: line.SKU, Quantity: line.Quantity, Price: line.Price,
			PriceReason: line.PriceReason, Offer: offers[line.SKU]})
	}
	r.Country, r.Channel = pl.Country, pl.Channel
	return h.place(ctx, r, pl, !pl.Guest && !buyer.Exists())
}

// place appends. Whether the customer is unknown is asked inside the decision: a repeat is answered before.
func (h *Handlers) place(ctx context.Context, r request, pl order.Placement, unknown bool) (PlacedOrder, error) {
	receipt, s, err := execute(ctx, h, orders, r, string(pl.Order), func(s order.State, _ eventstore.Revision) ([]order.Event, error) {
		switch {
		case unknown:
			return nil, ErrUnknownCustomer
		case pl.Country == "":
			return nil, ErrAddressNeeded
		}
		return order.Place(s, pl)
	})
	if err != nil {
		return PlacedOrder{}, err
	}
	return PlacedOrder{Receipt: receipt, Order: s.Order, Number: s.Number, Total: s.Total}, nil
}

// lookUp reads the customer's and the products' streams side by side.
func (h *Handlers) lookUp(ctx context.Context, r request, c PlaceOrder, guest bool, l looker) (customer.State, eventstore.Revision, map[string]order.Offer, error) {
	var buyer customer.State
	revision := eventstore.NoStream
	skus := map[string]int{}
	for _, line := range c.Lines {
		if _, known := skus[line.SKU]; !known {
			skus[line.SKU] = len(skus)
		}
	}
	found := make([]order.Offer, len(skus))
	readers, inner := errgroup.WithContext(ctx)
	readers.SetLimit(16)
	if !guest {
		readers.Go(func() (err error) {
			buyer, revision, err = look(inner, h, customers, r, c.Customer, l)
			return err
		})
	}
	for sku, at := range skus {
		readers.Go(func() error {
			s, rev, err := look(inner, h, products, r, sku, l)
			found[at] = order.Offer{Exists: s.Exists(), OnSale: s.OnSale(), Name: s.Name, Price: s.Price, Revision: int64(rev)}
			return err
		})
	}
	err := readers.Wait()
	offers := make(map[string]order.Offer, len(skus))
	for sku, at := range skus {
		offers[sku] = found[at]
	}
	return buyer, revision, offers, err
}

// numberOf returns the first 60 bits of the id, in groups that people can read to each other.
func numberOf(id order.ID) string {
	n := strings.ToUpper(string(id))
	if len(n) < 12 {
		return n
	}
	return n[0:4] + "-" + n[4:8] + "-" + n[8:12]
}

func guestOf(id order.ID) pii.Subject { return pii.Subject("order-" + string(id)) }

// boughtBy copies what the order keeps of its customer. Sealed values are copied as they are.
func boughtBy(pl order.Placement, buyer customer.State, revision eventstore.Revision) order.Placement {
	pl.Name, pl.Email, pl.CustomerRevision = buyer.Name, buyer.Email, int64(revision)
	pl.Language, pl.Priority = or(buyer.Preferences.Language, customer.DefaultLanguage), order.Normal
	if buyer.Tier == customer.VIP {
		pl.Priority = order.VIP
	}
	return pl
}
