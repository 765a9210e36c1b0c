package queries

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// signal is the channel that the projector notifies with each commit; see projections.Signal.
const signal = "annal_projections"

// waitingRoom holds what is known of the catalogue and those who wait for it to change.
type waitingRoom struct {
	mu      sync.Mutex
	now     catalogue
	change  chan struct{} // closed with the next news
	waiters int
}

func newWaitingRoom() *waitingRoom {
	return &waitingRoom{change: make(chan struct{})}
}

func (w *waitingRoom) known() catalogue {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *waitingRoom) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change
}

func (w *waitingRoom) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters++
}

func (w *waitingRoom) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters--
}

func (w *waitingRoom) anybody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiters > 0
}

// announce publishes what the catalogue says and wakes everybody; nil forgets it, so that nothing stale proves anything.
func (w *waitingRoom) announce(now catalogue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now = now; now != nil {
		close(w.change)
		w.change = make(chan struct{})
	}
}

const longestPause = 5 * time.Second

// Run listens for the projector's signal until ctx ends, on a connection of its own: with each signal it reads the catalogue once for
// all who wait, and not at all if nobody does. A lost connection is made anew.
func (q *Queries) Run(ctx context.Context) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, longestPause) {
		began := time.Now()
		err := q.listen(ctx)
		q.waiting.announce(nil)
		if ctx.Err() != nil {
			return nil
		}
		q.logger.WarnContext(ctx, "the read models' signal is lost; listening again", "error", err)
		if time.Since(began) > longestPause {
			pause = 50 * time.Millisecond
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// listen holds one connection outside the pool, so that as many queries as before find one.
func (q *Queries) listen(ctx context.Context) (err error) {
	conn, err := pgx.ConnectConfig(ctx, q.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if cerr := conn.Close(closing); err == nil {
			err = cerr
		}
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+signal); err != nil {
		return err
	}
	for {
		// Also right after LISTEN: what was signalled before is not heard, but it is in the catalogue.
		if err := q.tell(ctx); err != nil {
			return err
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// tell reads the catalogue for those who wait. If nobody does, what is known stays: it proves less than is so, never more.
func (q *Queries) tell(ctx context.Context) error {
	if !q.waiting.anybody() {
		return nil
	}
	now, err := q.look(ctx)
	if err != nil {
		return err
	}
	q.waiting.announce(now)
	return nil
}
