package sagas

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
)

// placeStep is the one step of a checkout.
const placeStep = "place"

const (
	ringEvery  = 100 * time.Millisecond // at most: what paces a flood of due timers
	ringLatest = 30 * time.Second       // timers that another process set are seen by then
	ringAtOnce = 8
)

// ring sends again what is due, until ctx ends. While the database is away it waits.
func (s *Sagas) ring(ctx context.Context) error {
	backoff := rabbit.NewBackoff(ringEvery, 5*time.Second)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.alarm.rung:
			timer.Reset(s.until(s.alarm.at()))
			continue
		case <-ctx.Done():
			return nil
		}
		next, err := s.ringDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "saga timers are tried again", "error", err)
			if !backoff.Wait(ctx) {
				return nil
			}
			next = s.cfg.Now() // what is due is still due
		} else {
			backoff.Reset()
		}
		if !next.IsZero() {
			s.alarm.set(next) // else the next timer that is set, a later one, would put this one off
		}
		timer.Reset(s.until(s.alarm.at()))
	}
}

// until says how long the loop sleeps until t: not less than the pace, and not longer than other processes may be unseen.
func (s *Sagas) until(t time.Time) time.Duration {
	if t.IsZero() {
		return ringLatest
	}
	return min(max(t.Sub(s.cfg.Now()), ringEvery), ringLatest)
}

// ringDue takes a bounded number of timers that are due and handles them; it returns when the next one is.
func (s *Sagas) ringDue(ctx context.Context) (next time.Time, err error) {
	s.alarm.reset()
	due, err := s.claim(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var group errgroup.Group
	group.SetLimit(ringAtOnce)
	for _, t := range due {
		group.Go(func() error {
			if err := s.rang(ctx, t); err != nil && ctx.Err() == nil { // its next time is set: it hinders nobody else
				s.log.WarnContext(ctx, "a saga's timer is tried again at its next time", "saga", t.Stream, "error", err)
			}
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	var at *time.Time
	if err := s.pool.QueryRow(ctx, `SELECT min(due) FROM saga WHERE due IS NOT NULL`).Scan(&at); err != nil || at == nil {
		return time.Time{}, unavailable(err)
	}
	return *at, nil
}

// timer is one that is due.
type timer struct {
	Stream string `db:"stream"`
	Kind   string `db:"kind"`
}

// claim takes due timers and sets each to its next time, twice as far away as the last. Several processes share them.
func (s *Sagas) claim(ctx context.Context) ([]timer, error) {
	now := s.cfg.Now()
	rows, err := s.pool.Query(ctx, `UPDATE saga SET attempts = attempts + 1,
			due = CASE WHEN deadline > $1 THEN least(deadline, next) ELSE next END
		FROM (SELECT stream AS name, $1::timestamptz + least($3::float8, $2::float8 * 2 ^ least(attempts + 1, 20)) * (0.8 + 0.4 * random()) * interval '1 second' AS next
			FROM saga WHERE due <= $1 ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED) AS rung
		WHERE stream = rung.name RETURNING stream, kind`,
		now, s.cfg.Retry.Seconds(), s.cfg.RetryMost.Seconds(), max(1, s.cfg.ResendRate*int(ringEvery)/int(time.Second)))
	if err != nil {
		return nil, unavailable(err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[timer])
	return due, unavailable(err)
}

// rang handles one timer: the deadline turns the saga round, otherwise what is outstanding is sent again.
func (s *Sagas) rang(ctx context.Context, t timer) error {
	stream := eventstore.Stream(t.Stream)
	if t.Kind == kindCheckout {
		s.resend(ctx, s.placeCheckedOut(stream))
		return nil
	}
	now := s.cfg.Now()
	done, err := s.act(ctx, stream, act{name: "PassDeadline", causation: CommandID(stream, "deadline").String(),
		decide: func(p process) []event { return p.due(now) }})
	if err != nil {
		return err
	}
	s.resend(ctx, s.messages(ctx, done.instance, done.instance.outstanding())...)
	return nil
}

func (s *Sagas) resend(ctx context.Context, all ...rabbit.Command) {
	s.meter.resent.Add(float64(len(all)))
	s.send(ctx, all...)
}

// placeCheckedOut makes sure that the order of a cart is placed.
func (s *Sagas) placeCheckedOut(stream eventstore.Stream) rabbit.Command {
	id := CommandID(stream, placeStep)
	body, err := json.Marshal(commands.PlaceCheckedOut{Meta: commands.Meta{IdempotencyKey: id.String()}, Cart: cart.ID(stream.ID())})
	if err != nil {
		panic(err) //nolint:forbidigo // a struct of strings always encodes
	}
	return rabbit.Command{ID: id, Name: "PlaceCheckedOut", Service: "order", Key: string(stream), ReplyTo: rabbit.RepliesQueue, Body: body,
		Correlation: id.String(), Causation: uuid.Nil.String()}
}

// checkoutAnswered notes a refusal for the operator; success is seen when the order's placing comes by. The timer goes on.
func (s *Sagas) checkoutAnswered(ctx context.Context, stream eventstore.Stream, r rabbit.Reply) error {
	if r.OK {
		return nil
	}
	s.log.WarnContext(ctx, "the order of a checked-out cart is refused; it is tried again", "cart", stream, "code", r.Code)
	_, err := s.pool.Exec(ctx, `UPDATE saga SET code = $2, reason = $3 WHERE stream = $1 AND kind = 'checkout' AND status = 'running'`,
		string(stream), r.Code, r.Message)
	return unavailable(err)
}

// alarm tells the loop of timers that one was set before the one it sleeps for.
type alarm struct {
	rung chan struct{} // one place

	mu   sync.Mutex
	next time.Time // earliest set since reset
}

func newAlarm() *alarm { return &alarm{rung: make(chan struct{}, 1)} }

func (a *alarm) set(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.next.IsZero() && !t.Before(a.next) {
		return
	}
	a.next = t
	select {
	case a.rung <- struct{}{}:
	default: // it will look
	}
}

func (a *alarm) at() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

// reset forgets what was set: the loop is about to look for itself.
func (a *alarm) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = time.Time{}
	select {
	case <-a.rung:
	default:
	}
}
