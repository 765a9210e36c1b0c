package notify

import (
	"context"

	"github.com/annalhq/annal/internal/providers/guard"
)

// Guarded returns the port behind the guard: every message has a time limit, and a provider that does not answer is given
// a rest. Faults: guard.ErrOpen, guard.ErrTimeout, and the port's own.
func Guarded(p Port, g *guard.Guard) Port { return guarded{p, g} }

type guarded struct {
	port  Port
	guard *guard.Guard
}

func (g guarded) Send(ctx context.Context, m Message) error {
	_, err := guard.Call(ctx, g.guard, func(ctx context.Context) (struct{}, error) { return struct{}{}, g.port.Send(ctx, m) })
	return err
}
