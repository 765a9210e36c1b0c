package graph

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/internal/fault"
)

// observer tells of each request: a span, two metrics, one line of the access log. Labels are words of the schema and of
// fault's table, never of the caller.
type observer struct {
	tracer   trace.Tracer
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	log      *slog.Logger
}

func newObserver(registerer prometheus.Registerer, log *slog.Logger) (*observer, error) {
	o := &observer{tracer: otel.Tracer("github.com/annalhq/annal/graph"), log: log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "annal_graphql_requests_total",
			Help: "GraphQL requests, by operation type, first root field and code (ok, or that of the first error)."}, []string{"type", "field", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "annal_graphql_request_seconds",
			Help:    "Time from a GraphQL request to its answer, by operation type and first root field.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"type", "field"}),
	}
	if registerer == nil {
		return o, nil
	}
	for _, c := range []prometheus.Collector{o.requests, o.seconds} {
		if err := registerer.Register(c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "METRICS_TWICE", "the metrics of the API are registered already")
		}
	}
	return o, nil
}

// begin starts the request's span, below the caller's if it sent one.
func (o *observer) begin(r *http.Request) (context.Context, trace.Span) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	return o.tracer.Start(ctx, "graphql", trace.WithSpanKind(trace.SpanKindServer))
}

// end tells what became of it. code is "ok" or that of the first error.
func (o *observer) end(ctx context.Context, span trace.Span, s *session, a *answer, began time.Time) {
	took := time.Since(began)
	code := a.code()
	o.requests.WithLabelValues(s.kind, s.field, code).Inc()
	o.seconds.WithLabelValues(s.kind, s.field).Observe(took.Seconds())
	if span.IsRecording() {
		span.SetName("graphql " + s.kind)
		span.SetAttributes(attribute.String("graphql.operation.type", s.kind), attribute.String("graphql.field", s.field),
			attribute.Int("http.response.status_code", a.status))
		if code != "ok" {
			span.SetStatus(codes.Error, code)
		}
	}
	span.End()
	o.log.LogAttrs(ctx, slog.LevelInfo, "request", slog.String("type", s.kind), slog.String("field", s.field), slog.String("code", code),
		slog.Int("status", a.status), slog.Int("bytes", a.bytes), slog.Float64("took_ms", took.Seconds()*1000), slog.String("kind", string(s.principal.Kind)))
}
