package returns

import (
	"time"

	"github.com/annalhq/annal/internal/money"
)

// Event is what can happen to the saga of a return. Every event names return, order and customer: readers fold by them.
type Event interface{ Type() string }

// Of says whose saga it is; it stands in every event.
type Of struct {
	Return   string `json:"return"`
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

// Started begins the saga with everything that its commands will need.
type Started struct {
	Of
	Payment    string       `json:"payment"`
	Lines      []Line       `json:"lines"`
	Amount     money.Amount `json:"amount"` // to be refunded
	Country    string       `json:"country"`
	Reason     string       `json:"reason"`
	Channel    string       `json:"channel"`    // "import": history, nobody is notified
	ReturnedAt time.Time    `json:"returnedAt"` // business time
	Issued     []Issued     `json:"issued,omitzero"`
}

// Line is a part of an order's line that comes back.
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

// StepSucceeded says that a command was carried out.
type StepSucceeded struct {
	Of
	Step   Step     `json:"step"`
	Issued []Issued `json:"issued,omitzero"`
}

// StepRefused says that a command was refused, for good.
type StepRefused struct {
	Of
	Step   Step   `json:"step"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Completed ends the saga: the money is back, and the goods are on stock.
type Completed struct{ Of }

// Stuck says that a refund or restocking was refused; an operator has to look, and redrives.
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
	TypeStarted       = "return.started.v1"
	TypeStepSucceeded = "return.step-succeeded.v1"
	TypeStepRefused   = "return.step-refused.v1"
	TypeCompleted     = "return.completed.v1"
	TypeStuck         = "return.stuck.v1"
	TypeRedriven      = "return.redriven.v1"
)

// Type returns the stored name.
func (Started) Type() string { return TypeStarted }

// Type returns the stored name.
func (StepSucceeded) Type() string { return TypeStepSucceeded }

// Type returns the stored name.
func (StepRefused) Type() string { return TypeStepRefused }

// Type returns the stored name.
func (Completed) Type() string { return TypeCompleted }

// Type returns the stored name.
func (Stuck) Type() string { return TypeStuck }

// Type returns the stored name.
func (Redriven) Type() string { return TypeRedriven }
