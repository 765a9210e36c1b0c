package simulator

import (
	"context"
	"sync"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// Mode is what goes wrong.
type Mode string

// The modes. The zero Mode is a provider that works.
const (
	Healthy           Mode = ""
	Decline           Mode = "decline"             // the answer is no
	Timeout           Mode = "timeout"             // nothing is done, and nobody answers
	Slow              Mode = "slow"                // it is done, and answered after Delay
	ErrorAfterSuccess Mode = "error-after-success" // it is done, and nobody answers
	Down              Mode = "down"                // nothing is done, and the connection is refused
)

// Fault is something that goes wrong with a call.
type Fault struct {
	Mode  Mode
	Times int           // how many calls it hits; 0: all, until it is lifted
	Delay time.Duration // before the answer, or before nobody answers; default none
}

// Faults are the faults of one simulator, by operation. The zero value has none. Safe for concurrent use.
type Faults struct {
	mu sync.Mutex
	on map[string]Fault
}

// Set switches a fault of the operation on, or off with the zero Fault.
func (f *Faults) Set(operation string, x Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.on == nil {
		f.on = map[string]Fault{}
	}
	f.on[operation] = x
}

// Lift switches all faults off.
func (f *Faults) Lift() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = nil
}

// Next returns what hits the next call of the operation.
func (f *Faults) Next(operation string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.on[operation]
	switch x.Times {
	case 0:
	case 1:
		delete(f.on, operation)
	default:
		f.on[operation] = Fault{Mode: x.Mode, Times: x.Times - 1, Delay: x.Delay}
	}
	return x
}

// ErrDown answers a call to a provider that is down: nothing was done.
var ErrDown = fault.New(fault.Unavailable, "PROVIDER_DOWN", "the provider does not answer; try again")

// Play makes a call suffer the fault. effect does the work, and says no if it is told to decline; lost is the fault of a
// call that nobody answers.
func Play[T any](ctx context.Context, x Fault, lost error, effect func(decline bool) (T, error)) (T, error) {
	var none T
	switch x.Mode {
	case Down:
		return none, ErrDown
	case Timeout:
		_ = pause(ctx, x.Delay) // whether it ends by itself or not, nobody answers
		return none, lost
	}
	v, err := effect(x.Mode == Decline)
	if pause(ctx, x.Delay) != nil || x.Mode == ErrorAfterSuccess {
		return none, lost
	}
	return v, err
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
