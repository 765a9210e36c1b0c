package fulfilment

import (
	"time"

	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// Event is what can happen to the saga of an order. Every event names order and customer: readers fold by them.
type Event interface{ Type() string }

// Of says whose saga it is; it stands in every event.
type Of struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

// Started begins the saga with everything that its commands will need, so that it never has to ask.
type Started struct {
	Of
	Number   string       `json:"number"`
	Priority string       `json:"priority"` // "vip" overtakes in the command queues
	Lines    []Line       `json:"lines"`
	Total    money.Amount `json:"total"`
	Country  string       `json:"country"`
	Name     pii.Sealed   `json:"name,omitzero"`
	Address  pii.Sealed   `json:"address,omitzero"`
	Provider string       `json:"provider"`        // of the payment
	Token    string       `json:"token,omitzero"`  // the payment method at the provider
	Carrier  string       `json:"carrier"`         // "standard", "imported"
	Channel  string       `json:"channel"`         // "import": history, nobody is notified
	PlacedAt time.Time    `json:"placedAt"`        // business time
	Deadline time.Time    `json:"deadline"`        // real time; whoever is not confirmed by then is cancelled
	Issued   []Issued     `json:"issued,omitzero"` // the commands that the saga waits for from here on
}

// Line is one line of the order.
type Line struct {
	Line     int    `json:"line"`
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Issued is a command that the saga waits for. Its id is UUIDv5 of saga and step, however often it is sent.
type Issued struct {
	Step    Step   `json:"step"`
	Service string `json:"service"`
	Command string `json:"command"`
}

// StepSucceeded says that a command was carried out, and what came of it.
type StepSucceeded struct {
	Of
	Step     Step     `json:"step"`
	Payment  string   `json:"payment,omitzero"`
	Shipment string   `json:"shipment,omitzero"`
	Tracking string   `json:"tracking,omitzero"`
	Issued   []Issued `json:"issued,omitzero"`
}

// StepRefused says that a command was refused, for good.
type StepRefused struct {
	Of
	Step   Step     `json:"step"`
	Code   string   `json:"code"`
	Reason string   `json:"reason"`
	Issued []Issued `json:"issued,omitzero"`
}

// CompensationStarted turns the saga round: from here on it undoes. Of the commands in Settled no answer had come; their
// undoing settles them, and their answers count no more.
type CompensationStarted struct {
	Of
	Code    string   `json:"code"`
	Reason  string   `json:"reason"`
	Settled []Step   `json:"settled,omitzero"`
	Issued  []Issued `json:"issued,omitzero"`
}

// Resumed says that the parcel had left before it could be stopped: the saga goes forward again.
type Resumed struct {
	Of
	Code   string   `json:"code"`
	Reason string   `json:"reason"`
	Issued []Issued `json:"issued,omitzero"`
}

// Completed ends the saga: the order is on its way.
type Completed struct{ Of }

// Cancelled ends the saga: the order is cancelled and nothing of it is in effect.
type Cancelled struct {
	Of
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Stuck says that a step was refused that can neither be undone nor done without; an operator has to look, and redrives.
type Stuck struct {
	Of
	Step   Step   `json:"step"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Redriven says that an operator has the stuck step tried again.
type Redriven struct {
	Of
	Step   Step     `json:"step"`
	Issued []Issued `json:"issued,omitzero"`
}

// Stored names. Never changed.
const (
	TypeStarted             = "fulfilment.started.v1"
	TypeStepSucceeded       = "fulfilment.step-succeeded.v1"
	TypeStepRefused         = "fulfilment.step-refused.v1"
	TypeCompensationStarted = "fulfilment.compensation-started.v1"
	TypeResumed             = "fulfilment.resumed.v1"
	TypeCompleted           = "fulfilment.completed.v1"
	TypeCancelled           = "fulfilment.cancelled.v1"
	TypeStuck               = "fulfilment.stuck.v1"
	TypeRedriven            = "fulfilment.redriven.v1"
)

// Type returns the stored name.
func (Started) Type() string { return TypeStarted }

// Type returns the stored name.
func (StepSucceeded) Type() string { return TypeStepSucceeded }

// Type returns the stored name.
func (StepRefused) Type() string { return TypeStepRefused }

// Type returns the stored name.
func (CompensationStarted) Type() string { return TypeCompensationStarted }

// Type returns the stored name.
func (Resumed) Type() string { return TypeResumed }

// Type returns the stored name.
func (Completed) Type() string { return TypeCompleted }

// Type returns the stored name.
func (Cancelled) Type() string { return TypeCancelled }

// Type returns the stored name.
func (Stuck) Type() string { return TypeStuck }

// Type returns the stored name.
func (Redriven) Type() string { return TypeRedriven }
