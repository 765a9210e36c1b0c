package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environ(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestIdsAreDrawnAndCarriedWithoutAnyCollector(t *testing.T) {
	end, err := telemetry.StartTracing(t.Context(), "annald", "test", environ(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := end(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	ctx, span := otel.Tracer("test").Start(t.Context(), "request")
	defer span.End()
	if span.IsRecording() {
		t.Error("a span that nobody reads is recorded")
	}
	carrier := map[string]string{}
	telemetry.Inject(ctx, carrier)
	far := telemetry.Extract(context.Background(), carrier)
	if id := telemetry.TraceID(far); len(id) != 32 || id != telemetry.TraceID(ctx) {
		t.Fatalf("carried %v: %q is not %q", carrier, id, telemetry.TraceID(ctx))
	}
	if again := telemetry.WithTraceparent(context.Background(), telemetry.Traceparent(ctx)); telemetry.TraceID(again) != telemetry.TraceID(ctx) {
		t.Fatal("a stored traceparent loses the trace")
	}
	if telemetry.TraceID(telemetry.WithTraceparent(context.Background(), "nonsense")) != "" {
		t.Fatal("a malformed traceparent is believed")
	}
}

func TestSpansReachACollector(t *testing.T) {
	received := make(chan string, 4)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		received <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	end, err := telemetry.StartTracing(t.Context(), "annald", "test", environ(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(t.Context(), "place order")
	span.End()
	if err := end(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		for _, want := range []string{"/v1/traces ", "place order", "annald"} {
			if !bytes.Contains([]byte(got), []byte(want)) {
				t.Errorf("%q is not in what the collector got", want)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the collector got nothing")
	}
}

func TestAnExporterThatIsNotBuiltInIsRefused(t *testing.T) {
	for _, pairs := range []map[string]string{
		{"OTEL_TRACES_EXPORTER": "zipkin"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
	} {
		if _, err := telemetry.StartTracing(t.Context(), "annald", "test", environ(pairs), slog.New(slog.DiscardHandler)); fault.CodeOf(err) != "SETTING_INVALID" {
			t.Errorf("%v: %v", pairs, err)
		}
	}
}

func TestLogLinesCarryTheTripAndTheKindOfAnError(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "info")
	if err != nil {
		t.Fatal(err)
	}
	ctx := telemetry.WithTraceparent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ctx = telemetry.WithCorrelation(ctx, "trip-1")
	log.With("part", "relay").ErrorContext(ctx, "publishing", "error", fault.New(fault.Unavailable, "BROKER_UNAVAILABLE", "away"))
	log.DebugContext(ctx, "unseen")
	var line struct {
		Msg, Part     string
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		Error         struct{ Kind, Code, Text string }
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	if line.Part != "relay" || line.TraceID != "0af7651916cd43dd8448eb211c80319c" || line.CorrelationID != "trip-1" ||
		line.Error.Kind != "unavailable" || line.Error.Code != "BROKER_UNAVAILABLE" || line.Error.Text != "away" {
		t.Fatalf("got %s", &out)
	}
	if _, err := telemetry.NewLogger(&out, "loud"); fault.CodeOf(err) != "SETTING_INVALID" {
		t.Fatalf("got %v", err)
	}
}

func TestTheRegistryKnowsItsBuildAndLintsClean(t *testing.T) {
	registry := telemetry.NewRegistry("v1")
	if n, err := testutil.GatherAndCount(registry, "annal_build_info"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	problems, err := testutil.GatherAndLint(registry, "annal_build_info")
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
}
