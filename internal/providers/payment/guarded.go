package payment

import (
	"context"

	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/guard"
)

// Guarded returns the port behind the guard: every call has a time limit, and a provider that does not answer is given a
// rest. Faults: guard.ErrOpen, guard.ErrTimeout, and the port's own.
func Guarded(p Port, g *guard.Guard) Port { return guarded{p, g} }

type guarded struct {
	port  Port
	guard *guard.Guard
}

func (g guarded) Open(ctx context.Context, key string, amount money.Amount, token string) (string, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (string, error) { return g.port.Open(ctx, key, amount, token) })
}

func (g guarded) Authorise(ctx context.Context, ref string) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Authorise(ctx, ref) })
}

func (g guarded) Capture(ctx context.Context, ref string) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Capture(ctx, ref) })
}

func (g guarded) Get(ctx context.Context, ref string) (Status, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Status, error) { return g.port.Get(ctx, ref) })
}

func (g guarded) Cancel(ctx context.Context, ref string) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Cancel(ctx, ref) })
}

func (g guarded) Refund(ctx context.Context, ref, key string, amount money.Amount) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Refund(ctx, ref, key, amount) })
}
