package inventory

// Event is what can happen to the stock of one SKU.
type Event interface{ Type() string }

// Received adds units on hand.
type Received struct {
	SKU       SKU    `json:"sku"`
	Quantity  int64  `json:"quantity"`
	Reference string `json:"reference,omitzero"` // delivery note or the like
}

// Reserved sets units aside for one line of an order.
type Reserved struct {
	SKU      SKU    `json:"sku"`
	Order    string `json:"order"`
	Line     int    `json:"line"`
	Quantity int64  `json:"quantity"`
}

// Released gives a line's reservation back. With quantity 0 nothing was reserved: it is the tombstone that refuses
// the reservation should it come later.
type Released struct {
	SKU      SKU    `json:"sku"`
	Order    string `json:"order"`
	Line     int    `json:"line"`
	Quantity int64  `json:"quantity"`
	Reason   string `json:"reason"`
}

// Shipped takes a reserved line out of the house.
type Shipped struct {
	SKU      SKU    `json:"sku"`
	Order    string `json:"order"`
	Line     int    `json:"line"`
	Quantity int64  `json:"quantity"`
}

// Returned brings units of an order back on hand.
type Returned struct {
	SKU      SKU    `json:"sku"`
	Order    string `json:"order"`
	Return   string `json:"return"`
	Line     int    `json:"line"`
	Quantity int64  `json:"quantity"`
}

// Adjusted corrects the units on hand by Delta, never below what is reserved.
type Adjusted struct {
	SKU    SKU        `json:"sku"`
	Delta  int64      `json:"delta"`
	Cause  Adjustment `json:"cause"`
	Reason string     `json:"reason"`
}

// ThresholdSet sets the number of available units at or below which stock counts as low; 0 switches it off.
type ThresholdSet struct {
	SKU       SKU   `json:"sku"`
	Threshold int64 `json:"threshold"`
}

// WentLow says that the available units fell to the threshold or below.
type WentLow struct {
	SKU       SKU   `json:"sku"`
	Available int64 `json:"available"`
	Threshold int64 `json:"threshold"`
}

// Adjustment is why a count was corrected.
type Adjustment string

// The causes of an adjustment.
const (
	WriteOff Adjustment = "write_off" // broken, stolen, expired; Delta < 0
	Count    Adjustment = "count"     // a stocktake found another number
)

// Stored names. Never changed.
const (
	TypeReceived     = "inventory.received.v1"
	TypeReserved     = "inventory.reserved.v1"
	TypeReleased     = "inventory.released.v1"
	TypeShipped      = "inventory.shipped.v1"
	TypeReturned     = "inventory.returned.v1"
	TypeAdjusted     = "inventory.adjusted.v1"
	TypeThresholdSet = "inventory.threshold-set.v1"
	TypeWentLow      = "inventory.went-low.v1"
)

// Type returns the stored name.
func (Received) Type() string { return TypeReceived }

// Type returns the stored name.
func (Reserved) Type() string { return TypeReserved }

// Type returns the stored name.
func (Released) Type() string { return TypeReleased }

// Type returns the stored name.
func (Shipped) Type() string { return TypeShipped }

// Type returns the stored name.
func (Returned) Type() string { return TypeReturned }

// Type returns the stored name.
func (Adjusted) Type() string { return TypeAdjusted }

// Type returns the stored name.
func (ThresholdSet) Type() string { return TypeThresholdSet }

// Type returns the stored name.
func (WentLow) Type() string { return TypeWentLow }
