package commands

import (
	"context"
	"errors"
	"sync"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/payment"
)

// Effects on the world are made in one way (payment.go, shipment.go, notification.go):
//
//	intent   execute(r): an event says what is about to be asked; its append is the licence to ask
//	port     ask, unless the intent was there already: then the port is first asked how things stand
//	outcome  execute(r.sub(..)): an event says what the port answered
//
// A process may die between any two of these; the command comes again, finds the intent and goes on from there. An answer
// that does not come leaves the intent alone and is a fault that is worth a retry: never an outcome, and never asked
// twice blindly. If something else was decided meanwhile, the outcome's decision is a no-op and the state says what holds.

// The names that an order is given when it names none, and the name of provider and carrier of imported history, which
// need auth.SetPrices: they take everything and move nothing.
const (
	DefaultProvider = "card"
	DefaultCarrier  = "standard"
	Imported        = "imported"
)

// The faults of names.
var (
	ErrUnknownProvider = fault.New(fault.Invalid, "UNKNOWN_PAYMENT_PROVIDER", "there is no payment provider of this name")
	ErrUnknownCarrier  = fault.New(fault.Invalid, "UNKNOWN_CARRIER", "there is no carrier of this name")
)

func (p Ports) payment(name string) (payment.Port, error) {
	if port, ok := p.Payments[name]; ok {
		return port, nil
	}
	return nil, ErrUnknownProvider.At("provider")
}

func (p Ports) carrier(name string) (carrier.Port, error) {
	if port, ok := p.Carriers[name]; ok {
		return port, nil
	}
	return nil, ErrUnknownCarrier.At("carrier")
}

// effects lets one goroutine of this process at a time work on the effects of one stream: a command that comes twice at
// once must not send two mails. Between processes the ports' own idempotency has to do. The zero value is ready.
type effects struct {
	mu   sync.Mutex
	held map[eventstore.Stream]chan struct{} // closed when it is given back
}

// acquire waits for the stream and returns how to give it back. Fault: Timeout if ctx ends before.
func (e *effects) acquire(ctx context.Context, s eventstore.Stream) (release func(), err error) {
	for {
		e.mu.Lock()
		taken, busy := e.held[s]
		if !busy {
			if e.held == nil {
				e.held = map[eventstore.Stream]chan struct{}{}
			}
			mine := make(chan struct{})
			e.held[s] = mine
			e.mu.Unlock()
			return func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				delete(e.held, s)
				close(mine)
			}, nil
		}
		e.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, fault.Wrap(ctx.Err(), fault.Timeout, "OUTCOME_UNKNOWN", "the command ran out of time; send it again under the same key")
		}
	}
}

// A looker says how well to look at a stream that a command names but does not change.
type looker bool

const (
	quickLook looker = false // as load sees it: a moment old at most
	closeLook looker = true  // read to its end; before a refusal
)

// look returns the state of a stream, as well as l says.
func look[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], r request, id string, l looker) (S, eventstore.Revision, error) {
	if l == quickLook {
		return load(ctx, h, a, id)
	}
	// A decision without events is one that the stream's tail was read for.
	receipt, s, err := execute(ctx, h, a, r.sub("look"), id, func(S, eventstore.Revision) ([]E, error) { return nil, nil })
	return s, receipt.Revision, err
}

// find returns the state of a stream that there should be: a quick look that finds nothing is repeated closely.
func find[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], r request, id string) (S, error) {
	s, rev, err := look(ctx, h, a, r, id, quickLook)
	if err == nil && rev == eventstore.NoStream {
		s, _, err = look(ctx, h, a, r, id, closeLook)
	}
	return s, err
}

// findFixed is find for what never changes once the stream exists: any state that this process knows will do.
func findFixed[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], r request, id string) (S, error) {
	if known, ok := h.cache.get(a.category.Stream(id)); ok {
		if e := known.(*entry[S]); e.revision != eventstore.NoStream {
			return e.state, nil
		}
	}
	return find(ctx, h, a, r, id)
}

// or returns the first of a and b that is not empty.
func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// within puts path before a fault's own path.
func within(err error, path ...string) error {
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return f.At(path...)
	}
	return err
}
