package payment

import "github.com/annalhq/annal/internal/money"

// Event is what can happen to a payment. Every event names order and customer: readers fold by them.
type Event interface{ Type() string }

// Of says whose payment it is; it stands in every event.
type Of struct {
	Payment  ID     `json:"payment"`
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

// Opened stores the provider's reference; no money moved yet.
type Opened struct {
	Of
	Amount   money.Amount `json:"amount"`
	Provider string       `json:"provider"`
	Token    string       `json:"token,omitzero"`
	Ref      string       `json:"ref"`
}

// AuthorisationRequested is the intent; until an outcome is stored the authorisation is unknown.
type AuthorisationRequested struct{ Of }

// Authorised says that the amount is held.
type Authorised struct {
	Of
	Amount money.Amount `json:"amount"`
}

// Declined says that the provider refused; final.
type Declined struct {
	Of
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// CaptureRequested is the intent.
type CaptureRequested struct{ Of }

// Captured says that the whole amount was taken.
type Captured struct {
	Of
	Amount money.Amount `json:"amount"`
}

// VoidRequested is the intent to end the payment before or after the authorisation.
type VoidRequested struct {
	Of
	Reason string `json:"reason"`
}

// Voided says that nothing is held and nothing can be taken any more; final. On a stream that has no other event it is
// the tombstone that refuses the payment should it come later.
type Voided struct {
	Of
	Reason string `json:"reason"`
}

// RefundRequested is the intent to give back part or all.
type RefundRequested struct {
	Of
	Refund string       `json:"refund"`
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
}

// Refunded says that the refund was made.
type Refunded struct {
	Of
	Refund string       `json:"refund"`
	Amount money.Amount `json:"amount"`
}

// RefundFailed says that the provider refused the refund; somebody has to look.
type RefundFailed struct {
	Of
	Refund string `json:"refund"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Failed says that the payment can't be carried out for another reason than a refusal of the card; final.
type Failed struct {
	Of
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Stored names. Never changed.
const (
	TypeOpened                 = "payment.opened.v1"
	TypeAuthorisationRequested = "payment.authorisation-requested.v1"
	TypeAuthorised             = "payment.authorised.v1"
	TypeDeclined               = "payment.declined.v1"
	TypeCaptureRequested       = "payment.capture-requested.v1"
	TypeCaptured               = "payment.captured.v1"
	TypeVoidRequested          = "payment.void-requested.v1"
	TypeVoided                 = "payment.voided.v1"
	TypeRefundRequested        = "payment.refund-requested.v1"
	TypeRefunded               = "payment.refunded.v1"
	TypeRefundFailed           = "payment.refund-failed.v1"
	TypeFailed                 = "payment.failed.v1"
)

// Type returns the stored name.
func (Opened) Type() string { return TypeOpened }

// Type returns the stored name.
func (AuthorisationRequested) Type() string { return TypeAuthorisationRequested }

// Type returns the stored name.
func (Authorised) Type() string { return TypeAuthorised }

// Type returns the stored name.
func (Declined) Type() string { return TypeDeclined }

// Type returns the stored name.
func (CaptureRequested) Type() string { return TypeCaptureRequested }

// Type returns the stored name.
func (Captured) Type() string { return TypeCaptured }

// Type returns the stored name.
func (VoidRequested) Type() string { return TypeVoidRequested }

// Type returns the stored name.
func (Voided) Type() string { return TypeVoided }

// Type returns the stored name.
func (RefundRequested) Type() string { return TypeRefundRequested }

// Type returns the stored name.
func (Refunded) Type() string { return TypeRefunded }

// Type returns the stored name.
func (RefundFailed) Type() string { return TypeRefundFailed }

// Type returns the stored name.
func (Failed) Type() string { return TypeFailed }
