package sagas

import (
	"context"
	"encoding/json"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/telemetry"
)

// made is what a saga wants to know of a service's result; results may hold more.
type made struct {
	Payment  string `json:"payment"`
	Shipment string `json:"shipment"`
	Tracking string `json:"tracking"`
}

// answer takes one reply. An error means that it must come again: nothing was appended, or that is unknown.
func (s *Sagas) answer(ctx context.Context, r rabbit.Reply) error {
	stream := eventstore.Stream(r.Key)
	if stream.Category() == eventstore.Cart {
		return s.checkoutAnswered(ctx, stream, r)
	}
	ctx, span := otel.Tracer(tracer).Start(telemetry.WithTraceparent(ctx, r.Traceparent), "saga answer "+r.Name, trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()
	done, err := s.act(ctx, stream, act{name: "TakeAnswer", causation: r.Command.String(), decide: func(p process) []event {
		return p.answer(outcomeOf(stream, p, r))
	}})
	if errors.Is(err, errNoProcess) {
		s.log.WarnContext(ctx, "an answer to nobody is dropped", "key", r.Key, "command", r.Name)
		return nil
	}
	if err != nil {
		return err
	}
	s.meter.answered(r, done.decided)
	s.send(ctx, s.messages(ctx, done.instance, done.commands)...)
	return nil
}

// outcomeOf finds the step that the reply answers: the open one whose command has the reply's id.
func outcomeOf(stream eventstore.Stream, p process, r rabbit.Reply) outcome {
	for _, c := range p.outstanding() {
		if CommandID(stream, c.step) != r.Command {
			continue
		}
		o := outcome{step: c.step, ok: r.OK, code: r.Code, reason: r.Message}
		var m made
		if r.OK && json.Unmarshal(r.Body, &m) == nil { // a result that names nothing is fine
			o.payment, o.shipment, o.tracking = m.Payment, m.Shipment, m.Tracking
		}
		return o
	}
	return outcome{} // of no step: late or doubled
}
