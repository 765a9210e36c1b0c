package sagas

import (
	"context"
	"encoding/json"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/telemetry"
)

const tracer = "github.com/annalhq/annal/sagas"

// messages returns the saga's commands as the bus carries them.
func (s *Sagas) messages(ctx context.Context, i instance, open []issued) []rabbit.Command {
	sent := make([]rabbit.Command, 0, len(open))
	for _, c := range open {
		id := CommandID(i.stream, c.step)
		body, err := json.Marshal(i.body(c.step, commands.Meta{IdempotencyKey: id.String(), Correlation: i.correlation, Causation: i.last.String(), At: i.at()}))
		if err != nil { // impossible: plain structs
			s.log.ErrorContext(ctx, "a saga's command can't be made", "saga", i.stream, "step", c.step, "error", err)
			continue
		}
		trace := telemetry.Traceparent(ctx)
		if trace == "" {
			trace = i.traceparent
		}
		sent = append(sent, rabbit.Command{ID: id, Name: c.command, Service: c.service, Key: string(i.stream), High: i.high(), ReplyTo: rabbit.RepliesQueue,
			Body: body, Correlation: i.correlation, Causation: i.last.String(), Traceparent: trace})
	}
	return sent
}

// send gives commands to the senders and does not wait for the broker: an answer whose next command is under way is handled, and a
// command that gets lost on its way is sent by its timer. It waits only while the senders have more than they can carry.
func (s *Sagas) send(ctx context.Context, all ...rabbit.Command) {
	for _, c := range all {
		select {
		case s.out <- c:
		case <-ctx.Done():
			s.meter.unsent.Inc()
		}
	}
}

const (
	senders   = 4   // batches under way at the same time
	sendBatch = 250 // commands of one batch
)

// carry sends batches of what waits until out is closed.
func (s *Sagas) carry(ctx context.Context) {
	for first := range s.out {
		batch := []rabbit.Command{first}
		for more := true; more && len(batch) < sendBatch; {
			select {
			case c, ok := <-s.out:
				if more = ok; ok {
					batch = append(batch, c)
				}
			default:
				more = false
			}
		}
		if err := s.bus.Send(ctx, batch...); err != nil {
			s.meter.unsent.Add(float64(len(batch)))
			s.log.WarnContext(ctx, "commands wait for their timers", "commands", len(batch), "error", err)
			continue
		}
		s.meter.sent.Add(float64(len(batch)))
	}
}
