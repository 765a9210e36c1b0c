package feed

import (
	"context"
	"encoding/json"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

const scope = "github.com/annalhq/annal/feed"

// maxLinks bounds the events of a batch that its span names: a trace is for looking at one, and reading metadata costs.
const maxLinks = 8

// startSpan begins the span of applying a batch, if any of its first events belongs to a sampled trace. Events of one trace, the
// usual case of a quiet system, make it part of that trace; events of many are linked.
func (w *worker) startSpan(ctx context.Context, b Batch) (context.Context, func(error)) {
	sampled := sampledTraces(ctx, b.Events)
	if len(sampled) == 0 {
		return ctx, func(error) {}
	}
	destination := w.cfg.Queue
	if destination == "" {
		destination = w.cfg.Name
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "rabbitmq"), attribute.String("messaging.operation.name", "process"), attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", destination), attribute.Int("messaging.batch.message_count", len(b.Events)))}
	one := true
	for _, s := range sampled {
		one = one && s.TraceID() == sampled[0].TraceID()
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: s}))
	}
	if one {
		ctx = trace.ContextWithRemoteSpanContext(ctx, sampled[0])
	}
	ctx, span := otel.Tracer(scope).Start(ctx, "process "+destination, opts...)
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, fault.CodeOf(err))
		}
		span.End()
	}
}

func sampledTraces(ctx context.Context, events []eventstore.Recorded) (found []trace.SpanContext) {
	for _, e := range events[:min(len(events), maxLinks)] {
		var env struct {
			Traceparent string `json:"traceparent"`
		}
		if json.Unmarshal(e.Metadata, &env) != nil || env.Traceparent == "" {
			continue // a foreign envelope has no trace
		}
		if s := trace.SpanContextFromContext(telemetry.WithTraceparent(ctx, env.Traceparent)); s.IsSampled() {
			found = append(found, s)
		}
	}
	return found
}
