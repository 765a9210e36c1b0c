package cart

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// The limits of a cart.
const (
	MaxItems    = 500
	MaxQuantity = 100_000 // units of one SKU
)

// The refusals of this package.
var (
	ErrExists      = fault.New(fault.Conflict, "CART_EXISTS", "the cart is open already")
	ErrMissing     = fault.New(fault.Missing, "CART_NOT_FOUND", "there is no such cart")
	ErrCheckedOut  = fault.New(fault.Conflict, "CART_CHECKED_OUT", "the cart was checked out; open another one")
	ErrEmpty       = fault.New(fault.Conflict, "CART_EMPTY", "there is nothing in the cart")
	ErrFull        = fault.New(fault.Conflict, "CART_FULL", "a cart holds 500 different items; check out, or remove some")
	ErrQuantity    = fault.New(fault.Invalid, "QUANTITY_OUT_OF_RANGE", "a quantity is between 1 and 100,000 units").At("quantity")
	ErrItemMissing = fault.New(fault.Missing, "ITEM_NOT_IN_CART", "this SKU is not in the cart; add it first").At("sku")
	ErrCurrency    = fault.New(fault.Conflict, "CURRENCY_MISMATCH", "the product is sold in another currency than the cart's; use another cart")
	ErrCustomer    = fault.New(fault.Invalid, "CUSTOMER_NEEDED", "a cart belongs to a customer").At("customer")
	ErrMoved       = fault.New(fault.Conflict, "CART_CHANGED", "the cart changed while it was checked out; look at it and try again")
)

// Open opens a cart. Faults: ErrExists, ErrCustomer, money.ErrUnknownCurrency.
func Open(s State, id ID, customer string, currency money.Currency) ([]Event, error) {
	if s.Exists() {
		return nil, ErrExists
	}
	if customer == "" {
		return nil, ErrCustomer
	}
	if !currency.Known() {
		return nil, money.ErrUnknownCurrency.At("currency")
	}
	return []Event{Opened{Cart: id, Customer: customer, Currency: currency}}, nil
}

// AddItem puts units of a SKU into the cart, beside those that are there. Faults: ErrMissing, ErrCheckedOut,
// ErrQuantity, ErrFull.
func AddItem(s State, sku string, quantity int64) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	there := s.Quantity(sku)
	if quantity < 1 || quantity > MaxQuantity || there+quantity > MaxQuantity {
		return nil, ErrQuantity
	}
	if there == 0 && len(s.Items) >= MaxItems {
		return nil, ErrFull
	}
	return []Event{ItemAdded{Cart: s.Cart, Customer: s.Customer, SKU: sku, Quantity: quantity}}, nil
}

// ChangeItem sets the units of a SKU that is in the cart. Faults: ErrMissing, ErrCheckedOut, ErrQuantity, ErrItemMissing.
func ChangeItem(s State, sku string, quantity int64) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if quantity < 1 || quantity > MaxQuantity {
		return nil, ErrQuantity
	}
	if s.Quantity(sku) == 0 {
		return nil, ErrItemMissing
	}
	return []Event{ItemChanged{Cart: s.Cart, Customer: s.Customer, SKU: sku, Quantity: quantity}}, nil
}

// RemoveItem takes a SKU out of the cart. Faults: ErrMissing, ErrCheckedOut, ErrItemMissing.
func RemoveItem(s State, sku string) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.Quantity(sku) == 0 {
		return nil, ErrItemMissing
	}
	return []Event{ItemRemoved{Cart: s.Cart, Customer: s.Customer, SKU: sku}}, nil
}

// Delivery is what a check-out adds to what is in the cart.
type Delivery struct {
	Order   string
	Country string
	Address pii.Sealed
	Tender  string
}

// CheckOut ends the cart with lines priced from the catalogue, one an item, in the cart's order. Faults: ErrMissing,
// ErrCheckedOut, ErrEmpty, ErrCurrency, ErrMoved if the lines are not the cart's, money.ErrAmountOverflow.
func CheckOut(s State, lines []Line, d Delivery) ([]Event, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	if len(s.Items) == 0 {
		return nil, ErrEmpty
	}
	if len(lines) != len(s.Items) {
		return nil, ErrMoved
	}
	total := money.Of(0, s.Currency)
	for i, l := range lines {
		if l.SKU != s.Items[i].SKU || l.Quantity != s.Items[i].Quantity {
			return nil, ErrMoved
		}
		if l.UnitPrice.Currency != s.Currency {
			return nil, ErrCurrency
		}
		price, err := l.UnitPrice.Times(l.Quantity)
		if err != nil {
			return nil, err
		}
		if total, err = total.Add(price); err != nil {
			return nil, err
		}
	}
	return []Event{CheckedOut{Cart: s.Cart, Customer: s.Customer, Order: d.Order, Lines: lines, Total: total,
		Country: d.Country, Address: d.Address, Tender: d.Tender}}, nil
}

func (s State) open() error {
	if !s.Exists() {
		return ErrMissing
	}
	if s.Checkout != nil {
		return ErrCheckedOut
	}
	return nil
}
