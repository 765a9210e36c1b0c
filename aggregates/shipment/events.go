package shipment

import "github.com/annalhq/annal/internal/pii"

// Event is what can happen to a shipment. Every event names order and customer: readers fold by them.
type Event interface{ Type() string }

// Of says whose shipment it is; it stands in every event.
type Of struct {
	Shipment ID     `json:"shipment"`
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

// Line is what is in the parcel.
type Line struct {
	Line     int    `json:"line"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Requested is the intent to book a carrier.
type Requested struct {
	Of
	Carrier string     `json:"carrier"`
	Country string     `json:"country"`
	Name    pii.Sealed `json:"name,omitzero"`
	Address pii.Sealed `json:"address,omitzero"`
	Lines   []Line     `json:"lines"`
}

// Scheduled says that the carrier took the booking.
type Scheduled struct {
	Of
	Carrier string `json:"carrier"`
	Ref     string `json:"ref"`
}

// Refused says that the carrier won't carry it; final.
type Refused struct {
	Of
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Dispatched says that the parcel left.
type Dispatched struct {
	Of
	Tracking string `json:"tracking"`
}

// Delivered says that the parcel arrived.
type Delivered struct{ Of }

// CancelRequested is the intent to cancel the booking.
type CancelRequested struct {
	Of
	Reason string `json:"reason"`
}

// Cancelled ends the shipment before it left. On a stream that has no other event it is the tombstone that refuses
// the booking should it come later.
type Cancelled struct {
	Of
	Reason string `json:"reason"`
}

// Stored names. Never changed.
const (
	TypeRequested       = "shipment.requested.v1"
	TypeScheduled       = "shipment.scheduled.v1"
	TypeRefused         = "shipment.refused.v1"
	TypeDispatched      = "shipment.dispatched.v1"
	TypeDelivered       = "shipment.delivered.v1"
	TypeCancelRequested = "shipment.cancel-requested.v1"
	TypeCancelled       = "shipment.cancelled.v1"
)

// Type returns the stored name.
func (Requested) Type() string { return TypeRequested }

// Type returns the stored name.
func (Scheduled) Type() string { return TypeScheduled }

// Type returns the stored name.
func (Refused) Type() string { return TypeRefused }

// Type returns the stored name.
func (Dispatched) Type() string { return TypeDispatched }

// Type returns the stored name.
func (Delivered) Type() string { return TypeDelivered }

// Type returns the stored name.
func (CancelRequested) Type() string { return TypeCancelRequested }

// Type returns the stored name.
func (Cancelled) Type() string { return TypeCancelled }
