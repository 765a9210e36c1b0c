package order

import (
	"time"

	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// Event is what can happen to an order.
type Event interface{ Type() string }

// Line is one line of an order. Equal lines are real lines: the number tells them apart.
type Line struct {
	Line            int          `json:"line"` // from 1
	SKU             string       `json:"sku"`
	Name            string       `json:"name,omitzero"`
	Quantity        int64        `json:"quantity"`
	UnitPrice       money.Amount `json:"unitPrice"`
	PriceReason     string       `json:"priceReason,omitzero"`     // why the price is not the catalogue's; the import alone may
	ProductRevision int64        `json:"productRevision,omitzero"` // of the product's stream when the price was read
}

// Placed opens an order's stream.
type Placed struct {
	Order            ID           `json:"order"`
	Number           string       `json:"number"` // short, for people; unique as far as the id is
	Customer         string       `json:"customer"`
	Guest            bool         `json:"guest,omitzero"`
	Priority         Priority     `json:"priority"`
	CustomerRevision int64        `json:"customerRevision,omitzero"` // of the customer's stream when tier and language were read
	Lines            []Line       `json:"lines"`
	Total            money.Amount `json:"total"`
	Country          string       `json:"country"`
	Name             pii.Sealed   `json:"name,omitzero"`
	Email            pii.Sealed   `json:"email,omitzero"`
	Address          pii.Sealed   `json:"address,omitzero"`
	Language         string       `json:"language"`
	Tender           Tender       `json:"tender"`
	Carrier          string       `json:"carrier"`            // "standard", "imported"
	Channel          string       `json:"channel"`            // "web", "staff", "import"
	Cart             string       `json:"cart,omitzero"`      // the cart it came from
	Reference        string       `json:"reference,omitzero"` // number in the system it was imported from
	PlacedAt         time.Time    `json:"placedAt"`           // business time, UTC
}

// Tender is how the order is paid.
type Tender struct {
	Provider string `json:"provider"`       // "card", "imported"
	Token    string `json:"token,omitzero"` // the payment method at the provider; never a card number
}

// Confirmed says that stock is reserved, payment captured and shipment scheduled. Sales count from here.
type Confirmed struct {
	Order    ID           `json:"order"`
	Customer string       `json:"customer"`
	Country  string       `json:"country"`
	Channel  string       `json:"channel"`
	Lines    []Line       `json:"lines"`
	Total    money.Amount `json:"total"`
	Payment  string       `json:"payment"`
	Shipment string       `json:"shipment"`
	PlacedAt time.Time    `json:"placedAt"` // sales are counted on the day the order was placed
}

// CancelRequested says that somebody wants the order cancelled before it is shipped; the saga undoes what took effect.
type CancelRequested struct {
	Order    ID         `json:"order"`
	Customer string     `json:"customer"`
	Reason   string     `json:"reason"`        // a Cause; what somebody typed in events from before there was Note
	Note     pii.Sealed `json:"note,omitzero"` // what somebody typed
}

// Cancelled ends the order; nothing stays reserved or charged.
type Cancelled struct {
	Order     ID           `json:"order"`
	Customer  string       `json:"customer"`
	Country   string       `json:"country"`
	Code      string       `json:"code"`   // "OUT_OF_STOCK", "PAYMENT_DECLINED", "REQUESTED", ...
	Reason    string       `json:"reason"` // a sentence for people
	Lines     []Line       `json:"lines"`
	Total     money.Amount `json:"total"`
	Confirmed bool         `json:"confirmed"` // it had been confirmed: its sales are taken back
	PlacedAt  time.Time    `json:"placedAt"`
}

// Shipped says that the goods left.
type Shipped struct {
	Order    ID     `json:"order"`
	Customer string `json:"customer"`
	Shipment string `json:"shipment"`
	Tracking string `json:"tracking,omitzero"`
}

// Delivered says that the goods arrived.
type Delivered struct {
	Order    ID     `json:"order"`
	Customer string `json:"customer"`
	Shipment string `json:"shipment"`
}

// Returned says that units of the order come back; the return's saga refunds them and puts them on stock.
type Returned struct {
	Order      ID             `json:"order"`
	Customer   string         `json:"customer"`
	Country    string         `json:"country"`
	Return     string         `json:"return"`
	Payment    string         `json:"payment"`
	Lines      []ReturnedLine `json:"lines"`
	Amount     money.Amount   `json:"amount"`        // to be refunded
	Reason     string         `json:"reason"`        // a Cause, or the import's own words; see CancelRequested
	Note       pii.Sealed     `json:"note,omitzero"` // what somebody typed
	Reference  string         `json:"reference,omitzero"`
	Channel    string         `json:"channel"`
	ReturnedAt time.Time      `json:"returnedAt"` // business time, UTC: the refund counts on this day
}

// ReturnedLine is a part of a line that comes back, at the price the refund is reckoned with.
type ReturnedLine struct {
	Line      int          `json:"line"`
	SKU       string       `json:"sku"`
	Quantity  int64        `json:"quantity"`
	UnitPrice money.Amount `json:"unitPrice"`
}

// Priority is how urgently an order is handled.
type Priority string

// The priorities; VIP comes from the customer's tier.
const (
	Normal Priority = "normal"
	VIP    Priority = "vip"
)

// Stored names. Never changed.
const (
	TypePlaced          = "order.placed.v1"
	TypeConfirmed       = "order.confirmed.v1"
	TypeCancelRequested = "order.cancel-requested.v1"
	TypeCancelled       = "order.cancelled.v1"
	TypeShipped         = "order.shipped.v1"
	TypeDelivered       = "order.delivered.v1"
	TypeReturned        = "order.returned.v1"
)

// Type returns the stored name.
func (Placed) Type() string { return TypePlaced }

// Type returns the stored name.
func (Confirmed) Type() string { return TypeConfirmed }

// Type returns the stored name.
func (CancelRequested) Type() string { return TypeCancelRequested }

// Type returns the stored name.
func (Cancelled) Type() string { return TypeCancelled }

// Type returns the stored name.
func (Shipped) Type() string { return TypeShipped }

// Type returns the stored name.
func (Delivered) Type() string { return TypeDelivered }

// Type returns the stored name.
func (Returned) Type() string { return TypeReturned }
