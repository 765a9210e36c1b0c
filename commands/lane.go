package commands

import (
	"slices"
	"sync"

	"github.com/annalhq/annal/eventstore"
)

// lanes lets decisions that wait for the same stream share one append.
//
// The first to arrive at a stream leads: it takes itself and everything that waits (at most laneBatch), decides one after
// the other on the evolving state, appends once and hands out the answers; then the first of those who arrived meanwhile
// leads. The naive way, a lock per stream around load-decide-append, makes a hot SKU as slow as one round trip a buyer.
//
//	arrive -> leads -> answers its batch -> hand over -> ...
//	       -> waits -> answered by a leader, or made leader, or leaves (its context ended; its outcome is then unknown)
type lanes struct {
	mu   sync.Mutex
	open map[eventstore.Stream][]*waiter // streams that have a leader, and who waits there
}

// A waiter is one command at a lane. job is a *job[S, E]; hidden, so that one map holds the lanes of all aggregates.
type waiter struct {
	job  any
	lead chan struct{} // receives once, if the waiter becomes leader
}

const laneBatch = 64

func newLanes() *lanes { return &lanes{open: map[eventstore.Stream][]*waiter{}} }

// enter reports whether w leads; otherwise it waits.
func (l *lanes) enter(s eventstore.Stream, w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, led := l.open[s]
	if !led {
		l.open[s] = nil
		return true
	}
	l.open[s] = append(queue, w)
	return false
}

// take removes the leader's followers from the queue: at most n.
func (l *lanes) take(s eventstore.Stream, n int) []*waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.open[s]))
	taken := l.open[s][:n:n]
	l.open[s] = l.open[s][n:]
	return taken
}

// handOver ends the caller's lead.
func (l *lanes) handOver(s eventstore.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.open[s]
	if len(queue) == 0 {
		delete(l.open, s)
		return
	}
	next := queue[0]
	l.open[s] = queue[1:]
	next.lead <- struct{}{}
}

// leave takes a waiter out whose context ended. Made leader in that very moment, it hands over.
func (l *lanes) leave(s eventstore.Stream, w *waiter) {
	l.mu.Lock()
	if i := slices.Index(l.open[s], w); i >= 0 {
		l.open[s] = slices.Delete(l.open[s], i, i+1)
	}
	l.mu.Unlock()
	select {
	case <-w.lead:
		l.handOver(s)
	default:
	}
}
