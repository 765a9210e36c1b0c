// Package telemetry makes what a process says about itself: JSON logs, Prometheus metrics, OpenTelemetry traces.
//
// The three meet in the context. A request's span and its correlation id travel in it; every log line written with that
// context carries trace_id, span_id and correlation_id. Propagation over anything that is not HTTP or gRPC (event
// metadata, AMQP headers) goes through Inject and Extract, W3C traceparent in a plain map, so that one trace reaches from
// the HTTP request through RabbitMQ to the projected row.
//
// Traces are set up by the standard OTEL_* variables alone. Without any of them spans are not recorded, but trace ids are
// drawn and carried all the same: they stand in error answers, logs and events.
//
// Only programs call NewLogger, NewRegistry and StartTracing, once. Rule for all callers: no personal data and no secret is
// ever an attribute of a log line, a metric or a span. A collector that is away is told by a log line now and then and
// costs nothing else.
package telemetry

import (
	"context"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/internal/fault"
)

type correlationKey struct{}

// WithCorrelation returns a context whose log lines and commands carry id, the id of the business trip that a request
// belongs to (an event's $correlationId).
func WithCorrelation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// Correlation returns the id given to WithCorrelation, empty if there is none.
func Correlation(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey{}).(string)
	return id
}

// NewLogger returns a logger of JSON lines at level (debug, info, warn, error).
//
// Fault: SETTING_INVALID for another level.
func NewLogger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fault.Newf(fault.Invalid, "SETTING_INVALID", "a log level is debug, info, warn or error, not %q", level)
	}
	return slog.New(handler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l, ReplaceAttr: faults})}), nil
}

// faults writes an error's kind and code beside its text, so that logs can be counted by them.
func faults(_ []string, a slog.Attr) slog.Attr {
	err, ok := a.Value.Any().(error)
	if !ok {
		return a
	}
	return slog.Attr{Key: a.Key, Value: slog.GroupValue(
		slog.String("kind", fault.KindOf(err).String()), slog.String("code", fault.CodeOf(err)), slog.String("text", err.Error()))}
}

// handler adds what the context carries.
type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if id := Correlation(ctx); id != "" {
		r.AddAttrs(slog.String("correlation_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// NewRegistry returns a registry with the process's own metrics and annal_build_info. A part registers its metrics where
// it is made, under names that begin with annal_ and with no id as a label.
func NewRegistry(version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "annal_build_info", Help: "Always 1; the labels say which build this is."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return registry
}
