package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Inject writes the span of ctx into carrier as W3C traceparent (and tracestate, if there is one). Without a span it writes
// nothing.
func Inject(ctx context.Context, carrier map[string]string) {
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(carrier))
}

// Extract returns ctx with the remote span that carrier names as the parent of what is started next. A missing or
// malformed traceparent is no error: the trace begins anew.
func Extract(ctx context.Context, carrier map[string]string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(carrier))
}

// Traceparent returns the traceparent of the span of ctx, empty if there is none: the form that event metadata stores.
func Traceparent(ctx context.Context) string {
	carrier := map[string]string{}
	Inject(ctx, carrier)
	return carrier["traceparent"]
}

// WithTraceparent is Extract for a stored traceparent.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return Extract(ctx, map[string]string{"traceparent": traceparent})
}

// TraceID returns the trace id that a user is told with an error, empty if there is none.
func TraceID(ctx context.Context) string {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return span.TraceID().String()
	}
	return ""
}

func attributes(service, version string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("service.name", service), attribute.String("service.version", version)}
}
