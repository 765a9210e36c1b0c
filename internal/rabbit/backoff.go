package rabbit

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Backoff waits longer after each failure in a row, with jitter, up to a bound. Not safe for concurrent use.
type Backoff struct {
	b *backoff.ExponentialBackOff
}

// NewBackoff starts at first and grows to at most longest, each time half as much again or less.
func NewBackoff(first, longest time.Duration) *Backoff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = first, longest
	b.Multiplier, b.RandomizationFactor = 2, 0.5
	b.Reset()
	return &Backoff{b: b}
}

// Reset is called after a success: the next wait is a short one.
func (b *Backoff) Reset() { b.b.Reset() }

// Wait waits for the next interval; false if ctx ended first.
func (b *Backoff) Wait(ctx context.Context) bool {
	timer := time.NewTimer(b.b.NextBackOff())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
