package order

import (
	"strconv"
	"time"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// The limits of one order.
const (
	MaxLines    = 2_000
	MaxQuantity = 1_000_000
)

// The refusals of an order.
var (
	ErrNotFound        = fault.New(fault.Missing, "ORDER_NOT_FOUND", "there is no such order")
	ErrAlreadyPlaced   = fault.New(fault.Conflict, "ORDER_EXISTS", "there is an order with this id already")
	ErrNoLines         = fault.New(fault.Invalid, "ORDER_WITHOUT_LINES", "an order needs at least one line")
	ErrTooManyLines    = fault.New(fault.Invalid, "TOO_MANY_LINES", "an order has 2,000 lines at most; place several orders")
	ErrQuantity        = fault.New(fault.Invalid, "QUANTITY_OUT_OF_RANGE", "the quantity of a line is between 1 and 1,000,000")
	ErrUnknownProduct  = fault.New(fault.Invalid, "UNKNOWN_PRODUCT", "there is no product with this SKU")
	ErrNotOnSale       = fault.New(fault.Conflict, "PRODUCT_NOT_ON_SALE", "the product is no longer sold")
	ErrMixedCurrencies = fault.New(fault.Invalid, "MIXED_CURRENCIES", "all lines of an order are in one currency; place an order per currency")
	ErrPriceReason     = fault.New(fault.Invalid, "PRICE_REASON_MISSING", "a price that is not the catalogue's needs a reason")
	ErrPriceNegative   = fault.New(fault.Invalid, "PRICE_NEGATIVE", "a price is zero or more")
	ErrNotConfirmed    = fault.New(fault.Conflict, "ORDER_NOT_CONFIRMED", "the order is not confirmed yet")
	ErrAlreadyShipped  = fault.New(fault.Conflict, "ORDER_ALREADY_SHIPPED", "the order has left already; return it instead")
	ErrNotShipped      = fault.New(fault.Conflict, "ORDER_NOT_SHIPPED", "the order has not left yet")
	ErrCancelled       = fault.New(fault.Conflict, "ORDER_CANCELLED", "the order is cancelled")
	ErrCancelRequested = fault.New(fault.Conflict, "CANCELLATION_REQUESTED", "somebody asked to cancel the order")
	ErrNothingReturned = fault.New(fault.Invalid, "RETURN_WITHOUT_LINES", "a return needs at least one line")
	ErrUnknownLine     = fault.New(fault.Invalid, "UNKNOWN_LINE", "the order has no line with this number")
	ErrReturnTooMuch   = fault.New(fault.Conflict, "RETURN_EXCEEDS_BOUGHT", "more units would come back than are left of the line")
	ErrRefundTooMuch   = fault.New(fault.Conflict, "RETURN_EXCEEDS_PAID", "more money would be given back than was paid and not given back yet")
)

// Placement is what an order is placed with, after everything that it names was read.
type Placement struct {
	Order            ID
	Number           string
	Customer         string
	Guest            bool
	Priority         Priority
	CustomerRevision int64
	Items            []Item
	Currency         money.Currency
	Country          string
	Name             pii.Sealed
	Email            pii.Sealed
	Address          pii.Sealed
	Language         string
	Tender           Tender
	Carrier          string
	Channel          string
	Cart             string
	Reference        string
	PlacedAt         time.Time
}

// Item is one wanted line and what the catalogue said about it.
type Item struct {
	SKU         string
	Quantity    int64
	Price       *money.Amount // instead of the catalogue's; needs PriceReason
	PriceReason string
	Offer       Offer
}

// Offer is a product as the catalogue had it. The zero Offer is a product that does not exist.
type Offer struct {
	Exists   bool
	OnSale   bool
	Name     string
	Price    money.Amount
	Revision int64
}

// Place places the order. Faults: ErrAlreadyPlaced, ErrNoLines, ErrTooManyLines, ErrQuantity, ErrUnknownProduct,
// ErrNotOnSale, ErrMixedCurrencies, ErrPriceReason, ErrPriceNegative, money.ErrAmountOverflow.
func Place(s State, p Placement) ([]Event, error) {
	if s.Status != None {
		return nil, ErrAlreadyPlaced
	}
	if err := CheckSize(len(p.Items)); err != nil {
		return nil, err
	}
	lines := make([]Line, len(p.Items))
	total := money.Of(0, p.Currency)
	for i, item := range p.Items {
		line, err := item.line(i+1, p.Currency)
		if err != nil {
			return nil, err.At("lines", strconv.Itoa(i))
		}
		sum, failure := line.UnitPrice.Times(line.Quantity)
		if failure == nil {
			total, failure = total.Add(sum)
		}
		if failure != nil {
			return nil, failure
		}
		lines[i] = line
	}
	return []Event{Placed{
		Order: p.Order, Number: p.Number, Customer: p.Customer, Guest: p.Guest, Priority: p.Priority,
		CustomerRevision: p.CustomerRevision, Lines: lines, Total: total, Country: p.Country, Name: p.Name, Email: p.Email,
		Address: p.Address, Language: p.Language, Tender: p.Tender, Carrier: p.Carrier, Channel: p.Channel, Cart: p.Cart,
		Reference: p.Reference, PlacedAt: p.PlacedAt,
	}}, nil
}

// CheckSize refuses a number of lines that no order has: ErrNoLines, ErrTooManyLines.
func CheckSize(lines int) error {
	switch {
	case lines == 0:
		return ErrNoLines.At("lines")
	case lines > MaxLines:
		return ErrTooManyLines.At("lines")
	}
	return nil
}

func (i Item) line(number int, c money.Currency) (Line, *fault.Error) {
	line := Line{Line: number, SKU: i.SKU, Name: i.Offer.Name, Quantity: i.Quantity, UnitPrice: i.Offer.Price,
		ProductRevision: i.Offer.Revision}
	if i.Price != nil {
		line.UnitPrice, line.PriceReason = *i.Price, i.PriceReason
	}
	switch {
	case i.Quantity < 1 || i.Quantity > MaxQuantity:
		return Line{}, ErrQuantity.At("quantity")
	case !i.Offer.Exists:
		return Line{}, ErrUnknownProduct.At("sku")
	case !i.Offer.OnSale:
		return Line{}, ErrNotOnSale.At("sku")
	case i.Price != nil && i.PriceReason == "":
		return Line{}, ErrPriceReason.At("priceReason")
	case line.UnitPrice.Minor < 0:
		return Line{}, ErrPriceNegative.At("price")
	case line.UnitPrice.Currency != c:
		return Line{}, ErrMixedCurrencies.At("sku")
	}
	return line, nil
}

// Confirm confirms an order whose stock is reserved, whose payment is captured and whose shipment is scheduled.
// Faults: ErrNotFound, ErrCancelled, ErrCancelRequested.
func Confirm(s State, payment, shipment string) ([]Event, error) {
	switch {
	case s.Status == None:
		return nil, ErrNotFound
	case s.Status == StatusCancelled:
		return nil, ErrCancelled
	case s.Status != StatusPlaced:
		return nil, nil
	case s.CancelRequested:
		return nil, ErrCancelRequested
	}
	return []Event{Confirmed{Order: s.Order, Customer: s.Customer, Country: s.Country, Channel: s.Channel, Lines: s.Lines,
		Total: s.Total, Payment: payment, Shipment: shipment, PlacedAt: s.PlacedAt}}, nil
}

// RequestCancel asks for the order to be cancelled. Asking again, or for a cancelled order, is accepted and changes
// nothing. Faults: ErrNotFound, ErrAlreadyShipped.
func RequestCancel(s State, cause Cause, note pii.Sealed) ([]Event, error) {
	switch {
	case s.Status == None:
		return nil, ErrNotFound
	case s.Status == StatusShipped || s.Status == StatusDelivered:
		return nil, ErrAlreadyShipped
	case s.Status == StatusCancelled || s.CancelRequested:
		return nil, nil
	}
	return []Event{CancelRequested{Order: s.Order, Customer: s.Customer, Reason: string(cause), Note: note}}, nil
}

// Cancel ends an order of which nothing is in effect any more. Faults: ErrNotFound, ErrAlreadyShipped.
func Cancel(s State, code, reason string) ([]Event, error) {
	switch s.Status {
	case None:
		return nil, ErrNotFound
	case StatusShipped, StatusDelivered:
		return nil, ErrAlreadyShipped
	case StatusCancelled:
		return nil, nil
	}
	return []Event{Cancelled{Order: s.Order, Customer: s.Customer, Country: s.Country, Code: code, Reason: reason,
		Lines: s.Lines, Total: s.Total, Confirmed: s.Status == StatusConfirmed, PlacedAt: s.PlacedAt}}, nil
}

// MarkShipped records that the parcel left, also if somebody asked to cancel meanwhile: it did leave.
// Faults: ErrNotFound, ErrNotConfirmed, ErrCancelled.
func MarkShipped(s State, shipment, tracking string) ([]Event, error) {
	switch s.Status {
	case None:
		return nil, ErrNotFound
	case StatusPlaced:
		return nil, ErrNotConfirmed
	case StatusCancelled:
		return nil, ErrCancelled
	case StatusShipped, StatusDelivered:
		return nil, nil
	}
	return []Event{Shipped{Order: s.Order, Customer: s.Customer, Shipment: shipment, Tracking: tracking}}, nil
}

// MarkDelivered records that the parcel arrived. Faults: ErrNotFound, ErrCancelled, ErrNotShipped.
func MarkDelivered(s State) ([]Event, error) {
	switch s.Status {
	case None:
		return nil, ErrNotFound
	case StatusCancelled:
		return nil, ErrCancelled
	case StatusDelivered:
		return nil, nil
	case StatusShipped:
		return []Event{Delivered{Order: s.Order, Customer: s.Customer, Shipment: s.Shipment}}, nil
	}
	return nil, ErrNotShipped
}

// Return is what comes back.
type Return struct {
	ID        string
	Lines     []ReturnLine
	Reason    string // a Cause, or the import's own words
	Note      pii.Sealed
	Reference string
	Channel   string
	At        time.Time
}

// ReturnLine is units of one line that come back, at the price they were bought unless UnitPrice says otherwise.
type ReturnLine struct {
	Line      int
	Quantity  int64
	UnitPrice *money.Amount
}

// TakeBack records that units come back, and reckons what is to be refunded. Faults: ErrNotFound, ErrCancelled,
// ErrNotShipped, ErrNothingReturned, ErrTooManyLines, ErrUnknownLine, ErrQuantity, ErrPriceNegative, ErrMixedCurrencies,
// ErrReturnTooMuch, ErrRefundTooMuch, money.ErrAmountOverflow.
func TakeBack(s State, r Return) ([]Event, error) {
	if err := mayReturn(s, len(r.Lines)); err != nil {
		return nil, err
	}
	amount := money.Of(0, s.Total.Currency)
	taken := map[int]int64{}
	lines := make([]ReturnedLine, len(r.Lines))
	for i, want := range r.Lines {
		line, err := s.returned(want, taken)
		if err != nil {
			return nil, err.At("lines", strconv.Itoa(i))
		}
		sum, failure := line.UnitPrice.Times(line.Quantity)
		if failure == nil {
			amount, failure = amount.Add(sum)
		}
		if failure != nil {
			return nil, failure
		}
		lines[i] = line
	}
	if amount.Minor > s.Total.Minor-s.ReturnedTotal.Minor {
		return nil, ErrRefundTooMuch
	}
	return []Event{Returned{Order: s.Order, Customer: s.Customer, Country: s.Country, Return: r.ID, Payment: s.Payment,
		Lines: lines, Amount: amount, Reason: r.Reason, Note: r.Note, Reference: r.Reference, Channel: r.Channel, ReturnedAt: r.At}}, nil
}

func mayReturn(s State, lines int) error {
	switch {
	case s.Status == None:
		return ErrNotFound
	case s.Status == StatusCancelled:
		return ErrCancelled
	case s.Status != StatusShipped && s.Status != StatusDelivered:
		return ErrNotShipped
	case lines == 0:
		return ErrNothingReturned.At("lines")
	case lines > MaxLines:
		return ErrTooManyLines.At("lines")
	}
	return nil
}

// returned checks one line against the order and against what the same return takes of it already.
func (s State) returned(want ReturnLine, taken map[int]int64) (ReturnedLine, *fault.Error) {
	if want.Line < 1 || want.Line > len(s.Lines) {
		return ReturnedLine{}, ErrUnknownLine.At("line")
	}
	bought := s.Lines[want.Line-1]
	price := bought.UnitPrice
	if want.UnitPrice != nil {
		price = *want.UnitPrice
	}
	switch {
	case want.Quantity < 1 || want.Quantity > MaxQuantity:
		return ReturnedLine{}, ErrQuantity.At("quantity")
	case price.Minor < 0:
		return ReturnedLine{}, ErrPriceNegative.At("unitPrice")
	case price.Currency != s.Total.Currency:
		return ReturnedLine{}, ErrMixedCurrencies.At("unitPrice")
	case want.Quantity > s.Left(want.Line)-taken[want.Line]:
		return ReturnedLine{}, ErrReturnTooMuch.At("quantity")
	}
	taken[want.Line] += want.Quantity
	return ReturnedLine{Line: want.Line, SKU: bought.SKU, Quantity: want.Quantity, UnitPrice: price}, nil
}
