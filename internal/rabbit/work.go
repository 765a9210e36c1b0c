package rabbit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

// Work handles a service's commands until ctx ends; then running handlers get Grace to finish, and it returns nil.
//
// At most concurrency handlers run, one for each key at a time, in the order of arrival; the high queue is preferred (see schedule).
// Between processes of one service, and for a command that waits in a delay queue, there is no order: a sender that needs it waits
// for the reply before it sends the next command of that key, as sagas do.
//
// A handler returns a Reply, also to refuse (OK false), and nil: the reply is published, then the command acknowledged. An
// error means the infrastructure: retryable kinds and Conflict go through the delay queues, others at once, and any after
// MaxAttempts, to the dead letters. A panic is such an error. A command past its deadline isn't begun: the reply says "timeout".
func (b *Bus) Work(ctx context.Context, service string, concurrency int, handle func(context.Context, Command) (Reply, error)) error {
	return b.serve(ctx, crew{
		layout: ServiceLayout(service), queues: []string{CommandQueue(service, true), CommandQueue(service, false)}, concurrency: concurrency,
		process: func(ctx context.Context, j job) error { return b.processCommand(ctx, j, handle) },
	})
}

// Replies handles the replies to the sagas' commands, in order per key, until ctx ends. Errors: as with Work.
func (b *Bus) Replies(ctx context.Context, handle func(context.Context, Reply) error) error {
	const concurrency = 16
	return b.serve(ctx, crew{
		layout: RepliesLayout(), queues: []string{RepliesQueue}, concurrency: concurrency,
		process: func(ctx context.Context, j job) error {
			r, err := replyOf(j.Message)
			if err != nil {
				return err
			}
			ctx = telemetry.WithCorrelation(telemetry.WithTraceparent(ctx, r.Traceparent), r.Correlation)
			return handle(ctx, r)
		},
	})
}

func (b *Bus) processCommand(ctx context.Context, j job, handle func(context.Context, Command) (Reply, error)) error {
	c, err := commandOf(j.Message, j.level == 0)
	if err != nil {
		return err
	}
	ctx = telemetry.WithCorrelation(telemetry.WithTraceparent(ctx, c.Traceparent), c.Correlation)
	reply := Reply{Code: "COMMAND_EXPIRED", Message: "the command's deadline passed before it was handled", Kind: fault.Timeout.String()}
	if c.Deadline.IsZero() || time.Now().Before(c.Deadline) {
		if reply, err = handle(ctx, c); err != nil {
			return err
		}
	}
	if c.ReplyTo == "" {
		return nil
	}
	reply.Command, reply.Name, reply.Key, reply.Correlation = c.ID, c.Name, c.Key, c.Correlation
	if err := b.Reply(ctx, c.ReplyTo, reply); err != nil {
		return unsettledError{err}
	}
	return nil
}

// unsettledError: the broker is away; the delivery stays unacknowledged and comes again.
type unsettledError struct{ error }

func (e unsettledError) Unwrap() error { return e.error }

// A crew is what serve needs to know.
type crew struct {
	layout      Layout
	queues      []string // high, normal; or one
	concurrency int
	process     func(context.Context, job) error
}

// serve consumes until ctx ends, beginning again after each lost connection.
func (b *Bus) serve(ctx context.Context, c crew) error {
	backoff := NewBackoff(b.cfg.MinBackoff, b.cfg.MaxBackoff)
	for {
		began := time.Now()
		err := b.shift(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, ErrQuiet) {
			continue
		}
		if time.Since(began) > b.cfg.MaxBackoff {
			backoff.Reset()
		}
		b.cfg.Logger.WarnContext(ctx, "work queue is consumed again", "queue", c.queues[0], "error", err)
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

// shift is one consumption of the crew's queues.
func (b *Bus) shift(ctx context.Context, c crew) error {
	s := &shift{bus: b, crew: c, schedule: newSchedule(), finished: make(chan finished)}
	defer s.close()
	for level, queue := range c.queues {
		consumption, err := b.broker.Consume(ctx, c.layout, queue, 2*c.concurrency)
		if err != nil {
			return err
		}
		s.levels[level] = consumption
	}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx)) // handlers outlive ctx by the grace
	defer cancel()
	err := s.loop(ctx, working)
	grace := time.AfterFunc(b.cfg.Grace, cancel)
	defer grace.Stop()
	return errors.Join(err, s.drain())
}

type shift struct {
	bus      *Bus
	crew     crew
	levels   [2]*Consumption
	schedule *schedule
	running  int
	finished chan finished
	handlers sync.WaitGroup
}

// finished is a handled job; err means that it could not be settled with the broker.
type finished struct {
	job job
	err error
}

func (s *shift) loop(ctx, working context.Context) error {
	for {
		s.start(working)
		select {
		case d, ok := <-s.deliveries(0):
			if !ok {
				return s.levels[0].Err()
			}
			s.schedule.push(job{0, d.text(headerKey), d})
		case d, ok := <-s.deliveries(1):
			if !ok {
				return s.levels[1].Err()
			}
			s.schedule.push(job{1, d.text(headerKey), d})
		case f := <-s.finished:
			if err := s.end(f); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// deliveries is nil, which is never ready, for a level that the crew doesn't have.
func (s *shift) deliveries(level int) <-chan Delivery {
	if s.levels[level] == nil {
		return nil
	}
	return s.levels[level].C
}

func (s *shift) start(ctx context.Context) {
	for s.running < s.crew.concurrency {
		j, ok := s.schedule.next()
		if !ok {
			return
		}
		s.running++
		s.handlers.Go(func() { s.finished <- finished{j, s.bus.attempt(ctx, s.crew, j)} })
	}
}

// end acknowledges: the job's effect, reply, retry or dead letter is safe.
func (s *shift) end(f finished) error {
	s.running--
	s.schedule.done(f.job)
	if f.err != nil {
		return f.err
	}
	return s.levels[f.job.level].Ack(f.job.Tag)
}

// drain waits for the running handlers and acknowledges what they finish.
func (s *shift) drain() (err error) {
	for s.running > 0 {
		err = errors.Join(err, s.end(<-s.finished))
	}
	return err
}

func (s *shift) close() {
	s.handlers.Wait()
	for _, c := range s.levels {
		if c != nil {
			c.Close()
		}
	}
}
