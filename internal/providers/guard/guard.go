// Package guard stands between a port and its provider: a time limit for every call, and a circuit breaker.
//
// A provider that does not answer must not hold the worker that asks, and one that is down must not be asked by everybody
// all the time. What counts as a failure is an unknown outcome (Timeout, Unavailable, Internal); a refusal is an answer. While
// the breaker is open a call is answered at once with ErrOpen, which is worth a retry: nothing was asked, nothing is
// decided. After Rest one call may try.
//
// The packages payment, carrier and notify wrap their ports with it (Guarded); cmd makes one Guard a provider and shows
// its state.
package guard

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/annalhq/annal/internal/fault"
)

// Config tunes a Guard.
type Config struct {
	Timeout  time.Duration                      // of one call; default 10 s
	Failures uint32                             // in a row that open the breaker; default 5
	Rest     time.Duration                      // how long it stays open before one call may try; default 10 s
	OnChange func(name string, from, to string) // told when the state changes; default nobody
}

// Guard guards one provider. Safe for concurrent use.
type Guard struct {
	timeout time.Duration
	breaker *gobreaker.CircuitBreaker[any]
}

// The faults of a guard.
var (
	// ErrOpen answers while the breaker is open: the provider was not asked.
	ErrOpen = fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "the provider has not answered lately and is given a rest; try again later")
	// ErrTimeout answers when the provider did not answer in time: what it did is unknown.
	ErrTimeout = fault.New(fault.Timeout, "PROVIDER_TIMEOUT", "the provider did not answer in time; what it did is unknown until it is asked again")
)

// New returns a guard for the provider of the name.
func New(name string, cfg Config) *Guard {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Failures == 0 {
		cfg.Failures = 5
	}
	if cfg.Rest <= 0 {
		cfg.Rest = 10 * time.Second
	}
	settings := gobreaker.Settings{
		Name:         name,
		Timeout:      cfg.Rest,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= cfg.Failures },
		IsSuccessful: func(err error) bool { return err == nil || !failure(err) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errGivenUp) },
	}
	if cfg.OnChange != nil {
		settings.OnStateChange = func(name string, from, to gobreaker.State) { cfg.OnChange(name, from.String(), to.String()) }
	}
	return &Guard{timeout: cfg.Timeout, breaker: gobreaker.NewCircuitBreaker[any](settings)}
}

// State returns "closed", "half-open" or "open".
func (g *Guard) State() string { return g.breaker.State().String() }

// errGivenUp marks a call whose caller went away: it says nothing about the provider.
var errGivenUp = errors.New("the caller gave up")

// Call asks the provider through the guard. Faults: ErrOpen, ErrTimeout, and f's own.
func Call[T any](ctx context.Context, g *Guard, f func(context.Context) (T, error)) (T, error) {
	var none T
	result, err := g.breaker.Execute(func() (any, error) {
		inner, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		v, err := f(inner)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return v, errors.Join(errGivenUp, fault.Wrap(ctx.Err(), fault.Timeout, ErrTimeout.Code, ErrTimeout.Message))
		case inner.Err() != nil:
			return v, ErrTimeout
		}
		return v, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return none, ErrOpen
	}
	if v, ok := result.(T); ok {
		return v, err
	}
	return none, err
}

func failure(err error) bool {
	switch fault.KindOf(err) {
	case fault.Timeout, fault.Unavailable, fault.Internal:
		return true
	}
	return false
}
