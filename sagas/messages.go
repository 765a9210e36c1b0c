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

// send hands commands to the broker. If it can't, their timers send them later.
func (s *Sagas) send(ctx context.Context, all ...rabbit.Command) {
	if len(all) == 0 {
		return
	}
	if err := s.bus.Send(ctx, all...); err != nil {
		s.meter.unsent.Add(float64(len(all)))
		s.log.WarnContext(ctx, "commands wait for their timers", "commands", len(all), "error", err)
		return
	}
	s.meter.sent.Add(float64(len(all)))
}
