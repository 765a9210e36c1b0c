package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/annalhq/annal/internal/fault"
)

// StartTracing installs the process's tracer provider and W3C propagator, which libraries find by themselves. environ
// looks up OTEL_* variables (os.Getenv): OTEL_TRACES_EXPORTER (otlp or none), OTEL_EXPORTER_OTLP_ENDPOINT and its
// _TRACES_ form, OTEL_EXPORTER_OTLP_PROTOCOL (grpc or http/protobuf, the default), OTEL_SDK_DISABLED; what else the
// specification names is read by the SDK itself. The function returned flushes and ends it.
//
// Fault: SETTING_INVALID for an exporter or protocol that is not built in.
func StartTracing(ctx context.Context, service, version string, environ func(string) string, log *slog.Logger) (func(context.Context) error, error) {
	options, err := exporting(ctx, environ)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithSchemaURL(""), // the variables' attributes come with another version of the schema
		resource.WithAttributes(attributes(service, version)...),
		resource.WithFromEnv(), // later ones win: OTEL_SERVICE_NAME over ours
		resource.WithHost(),
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "OTEL_RESOURCE_ATTRIBUTES can't be read")
	}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithResource(about))...)
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not exported", "error", err) }))
	return provider.Shutdown, nil
}

func exporting(ctx context.Context, environ func(string) string) ([]sdktrace.TracerProviderOption, error) {
	exporter := environ("OTEL_TRACES_EXPORTER")
	configured := exporter != "" || environ("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || environ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !configured || exporter == "none" || environ("OTEL_SDK_DISABLED") == "true" {
		// Ids are still drawn and carried; nothing is recorded.
		return []sdktrace.TracerProviderOption{sdktrace.WithSampler(sdktrace.NeverSample())}, nil
	}
	if exporter != "" && exporter != "otlp" {
		return nil, fault.Newf(fault.Invalid, "SETTING_INVALID", "OTEL_TRACES_EXPORTER is otlp or none, not %q", exporter)
	}
	client, err := otlp(ctx, environ)
	if err != nil {
		return nil, err
	}
	return []sdktrace.TracerProviderOption{sdktrace.WithBatcher(client, sdktrace.WithExportTimeout(10*time.Second))}, nil
}

func otlp(ctx context.Context, environ func(string) string) (sdktrace.SpanExporter, error) {
	protocol := environ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = environ("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		exporter, err := otlptracehttp.New(ctx)
		return exporter, fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "the OTEL_EXPORTER_OTLP_ variables can't be used")
	case "grpc":
		exporter, err := otlptracegrpc.New(ctx)
		return exporter, fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "the OTEL_EXPORTER_OTLP_ variables can't be used")
	}
	return nil, fault.Newf(fault.Invalid, "SETTING_INVALID", "OTEL_EXPORTER_OTLP_PROTOCOL is grpc or http/protobuf, not %q", protocol)
}
