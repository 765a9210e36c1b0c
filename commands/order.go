package commands

import (
	"context"
	"regexp"
	"strconv"

	"github.com/nats-io/nuid"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

var orders = aggregate[order.State, order.Event]{category: eventstore.Order, evolve: order.Evolve}

// OrderID returns the id of the order that p's PlaceOrder with this idempotency key places, or placed.
func OrderID(p auth.Principal, key string) order.ID {
	return order.ID(deriveID("order", eventstore.CommandID(string(p.Kind), p.ID, "PlaceOrder", key).String()))
}

// PlaceOrder places an order for a customer, or for a guest.
type PlaceOrder struct {
	Meta
	Customer     string            `json:"customer,omitzero"` // the principal itself by default
	Guest        *Guest            `json:"guest,omitempty"`   // somebody without an account, instead of Customer
	Lines        []WantedLine      `json:"lines"`
	Currency     money.Currency    `json:"currency"`
	Address      *customer.Address `json:"address,omitempty"`
	AddressLabel string            `json:"addressLabel,omitzero"` // of an address in the customer's book, instead of Address
	Country      string            `json:"country,omitzero"`      // of an imported order without an address
	Tender       order.Tender      `json:"tender"`                // Provider is DefaultProvider by default
	Carrier      string            `json:"carrier,omitzero"`      // DefaultCarrier by default
	Reference    string            `json:"reference,omitzero"`    // number in the system it was imported from
}

// Guest is somebody who buys without an account.
type Guest struct {
	Name  string `json:"name,omitzero"`
	Email string `json:"email,omitzero"`
}

// WantedLine is a wanted line. Price and PriceReason need auth.SetPrices.
type WantedLine struct {
	SKU         string        `json:"sku"`
	Quantity    int64         `json:"quantity"`
	Price       *money.Amount `json:"price,omitempty"`
	PriceReason string        `json:"priceReason,omitzero"`
}

// PlacedOrder answers PlaceOrder.
type PlacedOrder struct {
	Receipt
	Order  order.ID     `json:"order"`
	Number string       `json:"number"`
	Total  money.Amount `json:"total"`
}

// The faults of placing an order, beside those of order.Place.
var (
	ErrUnknownCustomer = fault.New(fault.Invalid, "UNKNOWN_CUSTOMER", "there is no such customer; register first").At("customer")
	ErrNoCustomer      = fault.New(fault.Invalid, "CUSTOMER_NEEDED", "an order is for a customer or for a guest, not for both and not for nobody").At("customer")
	ErrPriceForbidden  = fault.New(fault.Denied, "PRICE_FORBIDDEN", "prices come from the catalogue; only an import may bring its own").At("lines")
	ErrImportedOnly    = fault.New(fault.Denied, "IMPORTED_FORBIDDEN", "only an import may use the imported payment and carrier")
	ErrAddressNeeded   = fault.New(fault.Invalid, "ADDRESS_NEEDED", "say where the order goes: an address, or the label of one in the customer's book").At("address")
	ErrTokenMalformed  = fault.New(fault.Invalid, "PAYMENT_TOKEN_MALFORMED",
		"a payment token is the provider's name for a payment method, 1 to 255 letters, digits, '_', '-', '.'; never a card number").At("tender", "token")
)

// PlaceOrder places the order in one append. A repeat finds the order that it placed. Faults: ErrUnknownCustomer,
// ErrNoCustomer, ErrPriceForbidden, ErrImportedOnly, ErrAddressNeeded, ErrTokenMalformed, ErrUnknownProvider,
// ErrUnknownCarrier, those of order.Place, and auth's.
func (h *Handlers) PlaceOrder(ctx context.Context, p auth.Principal, c PlaceOrder) (PlacedOrder, error) {
	c = c.withDefaults(p)
	if err := c.authorise(p); err != nil {
		return PlacedOrder{}, err
	}
	if err := c.validate(h.ports); err != nil {
		return PlacedOrder{}, err
	}
	subject := pii.Subject(c.Customer)
	if c.Guest != nil {
		// A guest's key is named after the order, and the order's id comes from the command's: begin would be too late.
		if c.IdempotencyKey == "" {
			c.IdempotencyKey = nuid.Next()
		}
		subject = guestOf(OrderID(p, c.IdempotencyKey))
	}
	input := c
	input.Meta = Meta{}
	r, err := h.begin(ctx, p, "PlaceOrder", c.Meta, subject, input)
	if err != nil {
		return PlacedOrder{}, err
	}
	placement, err := h.seal(ctx, r, c, subject)
	if err != nil {
		return PlacedOrder{}, err
	}
	placed, err := h.placeWith(ctx, r, c, placement, quickLook)
	if stale(err) {
		return h.placeWith(ctx, r, c, placement, closeLook)
	}
	return placed, err
}

func (c PlaceOrder) withDefaults(p auth.Principal) PlaceOrder {
	if c.Customer == "" && c.Guest == nil && p.Kind == auth.Customer {
		c.Customer = p.ID
	}
	c.Tender.Provider = or(c.Tender.Provider, DefaultProvider)
	c.Carrier = or(c.Carrier, DefaultCarrier)
	c.Channel = channelOf(p, c.Channel)
	if c.Address != nil {
		c.Country = c.Address.Country
	}
	return c
}

// channelOf lets the import and services say where an order came from; everybody else comes from where they are.
func channelOf(p auth.Principal, said string) string {
	switch {
	case p.Kind == auth.Importer:
		return or(said, "import")
	case p.Kind == auth.Service && said != "":
		return said
	case p.Kind == auth.Staff:
		return "staff"
	}
	return "web"
}

func (c PlaceOrder) authorise(p auth.Principal) error {
	if (c.Customer == "") == (c.Guest == nil) {
		if err := p.Require(auth.ManageOrders); err != nil {
			return err
		}
		return ErrNoCustomer
	}
	if err := p.Owns(c.Customer, auth.ManageOrders); err != nil {
		return err
	}
	if p.May(auth.SetPrices) {
		return nil
	}
	for _, l := range c.Lines {
		if l.Price != nil || l.PriceReason != "" {
			return ErrPriceForbidden
		}
	}
	if c.Tender.Provider == Imported || c.Carrier == Imported || c.Reference != "" {
		return ErrImportedOnly
	}
	return nil
}

func (c PlaceOrder) validate(ports Ports) error {
	if err := order.CheckSize(len(c.Lines)); err != nil {
		return err
	}
	for i, l := range c.Lines {
		if product.SKU(l.SKU).Validate() != nil {
			return product.ErrSKUMalformed.At("lines", strconv.Itoa(i), "sku")
		}
		if l.Quantity < 1 || l.Quantity > order.MaxQuantity {
			return order.ErrQuantity.At("lines", strconv.Itoa(i), "quantity")
		}
		if !printable(l.PriceReason, 0, 200) {
			return order.ErrPriceReason.At("lines", strconv.Itoa(i), "priceReason")
		}
	}
	if c.Customer != "" && customer.ID(c.Customer).Validate() != nil {
		return customer.ErrIDMalformed.At("customer")
	}
	if !c.Currency.Known() {
		return money.ErrUnknownCurrency.At("currency")
	}
	if _, err := ports.payment(c.Tender.Provider); err != nil {
		return ErrUnknownProvider.At("tender", "provider")
	}
	if _, err := ports.carrier(c.Carrier); err != nil {
		return err
	}
	if !printable(c.Reference, 0, 100) {
		return errReference
	}
	if err := c.validateDelivery(); err != nil {
		return err
	}
	return validToken(c.Tender)
}

func (c PlaceOrder) validateDelivery() error {
	if g := c.Guest; g != nil {
		if g.Name != "" && !customer.ValidName(g.Name) {
			return customer.ErrName.At("guest")
		}
		if g.Email != "" && !customer.ValidEmail(g.Email) {
			return customer.ErrEmail.At("guest")
		}
	}
	switch {
	case c.Address != nil && c.AddressLabel != "":
		return ErrAddressNeeded.Because("give an address or the label of one, not both")
	case c.Address != nil:
		if err := c.Address.Validate(); err != nil {
			return within(err, "address")
		}
	case c.AddressLabel != "" && c.Customer != "":
	case c.Carrier != Imported:
		return ErrAddressNeeded
	case !countryCode.MatchString(c.Country):
		return customer.ErrCountry
	}
	return nil
}

// countryCode is looser than customer.ValidCountry: history knows places that have no ISO code of their own.
var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// validToken refuses what can't be a token, above all a card number: it must never reach an event.
func validToken(t order.Tender) error {
	if t.Provider == Imported && t.Token == "" {
		return nil
	}
	if t.Token == "" || len(t.Token) > 255 {
		return ErrTokenMalformed
	}
	digits := 0
	for _, c := range []byte(t.Token) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
			digits = -len(t.Token) // letters: a name, not a number
		case c != '-' && c != '.':
			return ErrTokenMalformed
		}
	}
	if digits >= 12 {
		return ErrTokenMalformed
	}
	return nil
}
