package notification

import "github.com/annalhq/annal/internal/pii"

// Event is what can happen to a notification.
type Event interface{ Type() string }

// Of says about what and to whom; it stands in every event.
type Of struct {
	Notification ID     `json:"notification"`
	Order        string `json:"order,omitzero"`
	Customer     string `json:"customer"`
}

// Requested is the intent to tell somebody something over one channel.
type Requested struct {
	Of
	Channel  Channel           `json:"channel"`
	Template string            `json:"template"` // "order-confirmed", ...
	Language string            `json:"language"`
	To       pii.Sealed        `json:"to"`
	Data     map[string]string `json:"data,omitzero"` // what the template needs; no personal data
}

// Sent says that the channel's provider took the message.
type Sent struct {
	Of
	Channel   Channel `json:"channel"`
	MessageID string  `json:"messageId"` // derived from the notification's id: the same however often it is tried
}

// Failed says that the provider refused the message; final.
type Failed struct {
	Of
	Channel Channel `json:"channel"`
	Code    string  `json:"code"`
	Reason  string  `json:"reason"`
}

// Suppressed says that the customer does not want it, or that there is nowhere to send it.
type Suppressed struct {
	Of
	Channel Channel `json:"channel"`
	Reason  string  `json:"reason"`
}

// Channel is a way to reach somebody.
type Channel string

// The channels.
const (
	Mail Channel = "mail"
	SMS  Channel = "sms"
	Push Channel = "push"
)

// Stored names. Never changed.
const (
	TypeRequested  = "notification.requested.v1"
	TypeSent       = "notification.sent.v1"
	TypeFailed     = "notification.failed.v1"
	TypeSuppressed = "notification.suppressed.v1"
)

// Type returns the stored name.
func (Requested) Type() string { return TypeRequested }

// Type returns the stored name.
func (Sent) Type() string { return TypeSent }

// Type returns the stored name.
func (Failed) Type() string { return TypeFailed }

// Type returns the stored name.
func (Suppressed) Type() string { return TypeSuppressed }
