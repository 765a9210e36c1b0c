package relay

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

const scope = "github.com/annalhq/annal/relay"

// message turns an event into what is published, and begins its span if the command's trace is sampled.
func (r *Relay) message(ctx context.Context, m eventstore.Message) (rabbit.Message, span) {
	key := m.RoutingKey()
	headers, body := m.Encode()
	if _, omitted := headers[eventstore.HeaderOmitted]; omitted {
		r.metrics.omitted.Inc()
	}
	id := m.Event.ID.String()
	s := startSpan(ctx, headers, key, id)
	return rabbit.Message{
		Exchange: rabbit.EventsExchange, Key: key, Mandatory: true, ID: id, ContentType: "application/json",
		Time: m.Event.Created, Headers: headers, Body: body,
	}, s
}

// span is the sending of one event; the zero span is of a trace that nobody samples.
type span struct{ trace.Span }

// startSpan continues the trace that the event's command belongs to: the message carries the new span's context.
func startSpan(ctx context.Context, headers map[string]any, key, id string) span {
	parent, _ := headers[eventstore.HeaderTraceparent].(string)
	if parent == "" {
		return span{}
	}
	carrier := propagation.MapCarrier{"traceparent": parent}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return span{}
	}
	ctx, s := otel.Tracer(scope).Start(ctx, "send "+rabbit.EventsExchange, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "rabbitmq"), attribute.String("messaging.operation.name", "send"), attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", rabbit.EventsExchange), attribute.String("messaging.rabbitmq.destination.routing_key", key),
		attribute.String("messaging.message.id", id)))
	propagation.TraceContext{}.Inject(ctx, carrier)
	headers[eventstore.HeaderTraceparent] = carrier["traceparent"]
	return span{s}
}

func (s span) end(err error) {
	if s.Span == nil {
		return
	}
	if err != nil {
		s.SetStatus(codes.Error, fault.CodeOf(err))
	}
	s.End()
}
