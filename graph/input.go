package graph

import (
	"context"
	"net/http"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

var errAddressLines = fault.New(fault.Invalid, "ADDRESS_LINES_INVALID", "an address has 1 or 2 lines of street and number").At("address", "lines")

// noKey is refused by commands, as a key that was given and is empty must be: they draw one for a key that was not given, and whoever sent "" by a
// mistake would get a second effect from a repeat.
const noKey = " "

// meta is what travels with every command: the input's idempotency key, or that of the header Idempotency-Key.
func meta(ctx context.Context, key *string) commands.Meta {
	switch {
	case key == nil:
		return commands.Meta{IdempotencyKey: sessionOf(ctx).key}
	case *key == "":
		return commands.Meta{IdempotencyKey: noKey}
	}
	return commands.Meta{IdempotencyKey: *key}
}

// keyOf reads the header Idempotency-Key: "" if there is none. One that is empty, or there twice, is no key.
func keyOf(h http.Header) string {
	keys := h.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
		return ""
	case len(keys) > 1 || keys[0] == "":
		return noKey
	}
	return keys[0]
}

// idOf reads a global id of an input's field.
func idOf[ID ~string](typename, global, field string) (ID, error) {
	id, err := model.IDOf(typename, global)
	if err != nil {
		return "", model.ErrID.At(field)
	}
	return ID(id), nil
}

// whose is the customer of an input: oneself if none is named.
func whose(ctx context.Context, id *string) customer.ID {
	if p := principal(ctx); id == nil && p.Kind == auth.Customer {
		return customer.ID(p.ID)
	}
	return customer.ID(value(id))
}

func amount(in model.MoneyInput, field string) (money.Amount, error) {
	a, err := money.Parse(in.Amount, in.CurrencyCode)
	if err != nil {
		return a, at(err, field)
	}
	return a, nil
}

// at names the field that a fault is about.
func at(err error, field ...string) error {
	if f, ok := err.(*fault.Error); ok { //nolint:errorlint // a fault just made, not a wrapped one
		return f.At(field...)
	}
	return err
}

func address(in model.AddressInput) (customer.Address, error) {
	if len(in.Lines) < 1 || len(in.Lines) > 2 {
		return customer.Address{}, errAddressLines
	}
	a := customer.Address{Recipient: value(in.Recipient), Line1: in.Lines[0], City: in.City, Region: value(in.Region),
		PostalCode: value(in.PostalCode), Country: in.Country}
	if len(in.Lines) == 2 {
		a.Line2 = in.Lines[1]
	}
	return a, nil
}

func placeOrder(ctx context.Context, in model.PlaceOrderInput) (commands.PlaceOrder, error) {
	to, err := address(in.Address)
	lines := make([]commands.WantedLine, len(in.Lines))
	for i, l := range in.Lines {
		lines[i] = commands.WantedLine{SKU: l.Sku, Quantity: l.Quantity}
	}
	return commands.PlaceOrder{Meta: meta(ctx, in.IdempotencyKey), Customer: value(in.CustomerID), Lines: lines, Currency: in.Currency,
		Address: &to, Tender: order.Tender{Token: in.PaymentToken}}, err
}

func cancelOrder(ctx context.Context, in model.CancelOrderInput) (commands.RequestCancel, error) {
	id, err := idOf[order.ID]("Order", in.OrderID, "order")
	return commands.RequestCancel{Meta: meta(ctx, in.IdempotencyKey), Order: id, Cause: order.Cause(value(in.Cause)), Reason: in.Reason}, err
}

func deliverShipment(ctx context.Context, in model.DeliverOrderInput) (commands.DeliverShipment, error) {
	id, err := idOf[order.ID]("Order", in.OrderID, "order")
	return commands.DeliverShipment{Meta: meta(ctx, in.IdempotencyKey), Order: id}, err
}

func markDelivered(ctx context.Context, in model.DeliverOrderInput) (commands.MarkDelivered, error) {
	id, err := idOf[order.ID]("Order", in.OrderID, "order")
	return commands.MarkDelivered{Meta: meta(ctx, in.IdempotencyKey), Order: id}, err
}

func returnLines(ctx context.Context, in model.ReturnLinesInput) (commands.ReturnLines, error) {
	id, err := idOf[order.ID]("Order", in.OrderID, "order")
	lines := make([]commands.ReturnLine, len(in.Lines))
	for i, l := range in.Lines {
		lines[i] = commands.ReturnLine{Line: int(l.Line), Quantity: l.Quantity}
	}
	return commands.ReturnLines{Meta: meta(ctx, in.IdempotencyKey), Order: id, Lines: lines, Cause: order.Cause(value(in.Cause)), Reason: in.Reason}, err
}

func openCart(ctx context.Context, in model.OpenCartInput) (commands.OpenCart, error) {
	return commands.OpenCart{Meta: meta(ctx, in.IdempotencyKey), Customer: customer.ID(value(in.CustomerID)), Currency: in.Currency}, nil
}

func addItem(ctx context.Context, in model.CartItemInput) (commands.AddItem, error) {
	id, err := idOf[cart.ID]("Cart", in.CartID, "cart")
	return commands.AddItem{Meta: meta(ctx, in.IdempotencyKey), Cart: id, SKU: product.SKU(in.Sku), Quantity: in.Quantity}, err
}

func changeItem(ctx context.Context, in model.CartItemInput) (commands.ChangeItem, error) {
	id, err := idOf[cart.ID]("Cart", in.CartID, "cart")
	return commands.ChangeItem{Meta: meta(ctx, in.IdempotencyKey), Cart: id, SKU: product.SKU(in.Sku), Quantity: in.Quantity}, err
}

func removeItem(ctx context.Context, in model.RemoveCartItemInput) (commands.RemoveItem, error) {
	id, err := idOf[cart.ID]("Cart", in.CartID, "cart")
	return commands.RemoveItem{Meta: meta(ctx, in.IdempotencyKey), Cart: id, SKU: product.SKU(in.Sku)}, err
}

func checkOut(ctx context.Context, in model.CheckOutInput) (commands.CheckOut, error) {
	id, err := idOf[cart.ID]("Cart", in.CartID, "cart")
	if err != nil {
		return commands.CheckOut{}, err
	}
	to, err := address(in.Address)
	return commands.CheckOut{Meta: meta(ctx, in.IdempotencyKey), Cart: id, Address: &to, Tender: in.PaymentToken}, err
}

func createProduct(ctx context.Context, in model.CreateProductInput) (commands.CreateProduct, error) {
	price, err := amount(in.Price, "price")
	return commands.CreateProduct{Meta: meta(ctx, in.IdempotencyKey), SKU: product.SKU(in.Sku), Name: in.Name,
		Description: value(in.Description), Price: price}, err
}

func reviseProduct(ctx context.Context, in model.ReviseProductInput) (commands.ReviseProduct, error) {
	c := commands.ReviseProduct{Meta: meta(ctx, in.IdempotencyKey), SKU: product.SKU(in.Sku), Name: in.Name, Description: in.Description}
	if in.Price == nil {
		return c, nil
	}
	price, err := amount(*in.Price, "price")
	c.Price = &price
	return c, err
}

func discontinueProduct(ctx context.Context, in model.DiscontinueProductInput) (commands.DiscontinueProduct, error) {
	return commands.DiscontinueProduct{Meta: meta(ctx, in.IdempotencyKey), SKU: product.SKU(in.Sku), Why: in.Reason}, nil
}

func receiveStock(ctx context.Context, in model.ReceiveStockInput) (commands.ReceiveStock, error) {
	return commands.ReceiveStock{Meta: meta(ctx, in.IdempotencyKey), SKU: inventory.SKU(in.Sku), Quantity: in.Quantity, Reference: value(in.Reference)}, nil
}

func adjustStock(ctx context.Context, in model.AdjustStockInput) (commands.AdjustStock, error) {
	causes := map[model.StockAdjustmentCause]inventory.Adjustment{model.StockAdjustmentCauseWriteOff: inventory.WriteOff, model.StockAdjustmentCauseCount: inventory.Count}
	return commands.AdjustStock{Meta: meta(ctx, in.IdempotencyKey), SKU: inventory.SKU(in.Sku), Cause: causes[in.Cause], Quantity: in.Quantity, Why: in.Reason}, nil
}

func setStockThreshold(ctx context.Context, in model.SetStockThresholdInput) (commands.SetStockThreshold, error) {
	return commands.SetStockThreshold{Meta: meta(ctx, in.IdempotencyKey), SKU: inventory.SKU(in.Sku), Threshold: in.Threshold}, nil
}

func registerCustomer(ctx context.Context, in model.RegisterCustomerInput) (commands.RegisterCustomer, error) {
	return commands.RegisterCustomer{Meta: meta(ctx, in.IdempotencyKey), Name: in.Name, Email: in.Email, Phone: value(in.Phone),
		Country: value(in.Country), Language: value(in.Language)}, nil
}

func updateProfile(ctx context.Context, in model.UpdateProfileInput) (commands.UpdateProfile, error) {
	return commands.UpdateProfile{Meta: meta(ctx, in.IdempotencyKey), Customer: whose(ctx, in.CustomerID), Name: in.Name, Email: in.Email, Phone: in.Phone}, nil
}

func setAddress(ctx context.Context, in model.SetAddressInput) (commands.SetAddress, error) {
	a, err := address(in.Address)
	return commands.SetAddress{Meta: meta(ctx, in.IdempotencyKey), Customer: whose(ctx, in.CustomerID), Label: in.Label, Address: a}, err
}

func removeAddress(ctx context.Context, in model.RemoveAddressInput) (commands.RemoveAddress, error) {
	return commands.RemoveAddress{Meta: meta(ctx, in.IdempotencyKey), Customer: whose(ctx, in.CustomerID), Label: in.Label}, nil
}

func setPreferences(ctx context.Context, in model.SetPreferencesInput) (commands.SetPreferences, error) {
	return commands.SetPreferences{Meta: meta(ctx, in.IdempotencyKey), Customer: whose(ctx, in.CustomerID), Mail: in.Mail, SMS: in.Sms,
		Push: in.Push, Language: value(in.Language)}, nil
}

func changeTier(ctx context.Context, in model.ChangeTierInput) (commands.ChangeTier, error) {
	tiers := map[model.CustomerTier]customer.Tier{model.CustomerTierStandard: customer.Standard, model.CustomerTierVip: customer.VIP}
	return commands.ChangeTier{Meta: meta(ctx, in.IdempotencyKey), Customer: customer.ID(in.CustomerID), Tier: tiers[in.Tier], Why: in.Reason}, nil
}
