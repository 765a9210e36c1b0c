package carrier

import (
	"context"

	"github.com/annalhq/annal/internal/providers/guard"
)

// Guarded returns the port behind the guard: every call has a time limit, and a carrier that does not answer is given a rest.
// Faults: guard.ErrOpen, guard.ErrTimeout, and the port's own.
func Guarded(p Port, g *guard.Guard) Port { return guarded{p, g} }

type guarded struct {
	port  Port
	guard *guard.Guard
}

func (g guarded) Book(ctx context.Context, p Parcel) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Book(ctx, p) })
}

func (g guarded) Cancel(ctx context.Context, key string) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Cancel(ctx, key) })
}

func (g guarded) Dispatch(ctx context.Context, key string) (Outcome, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Outcome, error) { return g.port.Dispatch(ctx, key) })
}

func (g guarded) Get(ctx context.Context, key string) (Status, error) {
	return guard.Call(ctx, g.guard, func(ctx context.Context) (Status, error) { return g.port.Get(ctx, key) })
}
