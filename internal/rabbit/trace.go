package rabbit

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

const scope = "github.com/annalhq/annal/internal/rabbit"

// span is a producer's or consumer's span, named after OpenTelemetry's messaging conventions.
type span struct {
	trace.Span
	ctx context.Context
}

func (s span) traceparent() string { return telemetry.Traceparent(s.ctx) }

func (s span) finish(err error) {
	if err != nil {
		s.SetStatus(codes.Error, fault.CodeOf(err))
	}
	s.End()
}

func startSend(ctx context.Context, key, id string) span {
	ctx, s := otel.Tracer(scope).Start(ctx, "send "+CommandsExchange, trace.WithSpanKind(trace.SpanKindProducer), attributes("send", CommandsExchange, key, id))
	return span{s, ctx}
}

// startProcess parents the consumer's span on the sender's: one command, one trace.
func startProcess(ctx context.Context, m Message) (context.Context, span) {
	ctx = telemetry.WithTraceparent(ctx, m.text(headerTraceparent))
	ctx, s := otel.Tracer(scope).Start(ctx, "process "+m.Key, trace.WithSpanKind(trace.SpanKindConsumer), attributes("process", m.Key, m.Key, m.ID))
	return ctx, span{s, ctx}
}

func attributes(operation, destination, key, id string) trace.SpanStartEventOption {
	return trace.WithAttributes(
		attribute.String("messaging.system", "rabbitmq"), attribute.String("messaging.operation.name", operation), attribute.String("messaging.operation.type", operation),
		attribute.String("messaging.destination.name", destination), attribute.String("messaging.rabbitmq.destination.routing_key", key),
		attribute.String("messaging.message.id", id))
}
