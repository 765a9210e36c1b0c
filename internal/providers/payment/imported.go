package payment

import (
	"context"

	"github.com/annalhq/annal/internal/money"
)

// Imported is the provider of imported history: the money moved long ago. It accepts everything, keeps nothing and has no
// network; asked how a payment stands it says that whatever was intended has happened.
type Imported struct{}

// Open implements Port.
func (Imported) Open(_ context.Context, key string, _ money.Amount, _ string) (string, error) {
	return "imported-" + key, nil
}

// Authorise implements Port.
func (Imported) Authorise(context.Context, string) (Outcome, error) { return Accepted(), nil }

// Capture implements Port.
func (Imported) Capture(context.Context, string) (Outcome, error) { return Accepted(), nil }

// Get implements Port.
func (Imported) Get(context.Context, string) (Status, error) { return Status{State: Captured}, nil }

// Cancel implements Port.
func (Imported) Cancel(context.Context, string) (Outcome, error) { return Accepted(), nil }

// Refund implements Port.
func (Imported) Refund(context.Context, string, string, money.Amount) (Outcome, error) {
	return Accepted(), nil
}
