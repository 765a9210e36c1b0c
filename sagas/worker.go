package sagas

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/telemetry"
)

// WorkerConfig says which services a process does.
type WorkerConfig struct {
	Services    []string       // some of rabbit.Services; default all
	Concurrency map[string]int // commands of one service that are handled at the same time; default 32
	Logger      *slog.Logger   // nil: slog.Default()
}

// Worker takes the commands of services from their queues and has commands.Handlers carry them out. Any number of processes may
// work for one service: commands are repeatable, and expected revisions decide races.
type Worker struct {
	bus      *rabbit.Bus
	handlers *commands.Handlers
	cfg      WorkerConfig
}

const workerConcurrency = 32

// NewWorker returns a worker; it takes nothing before Run. Fault: UNKNOWN_SERVICE.
func NewWorker(bus *rabbit.Bus, handlers *commands.Handlers, cfg WorkerConfig) (*Worker, error) {
	known := map[string]bool{}
	for _, service := range rabbit.Services() {
		known[service] = true
	}
	if len(cfg.Services) == 0 {
		cfg.Services = rabbit.Services()
	}
	for _, service := range cfg.Services {
		if !known[service] {
			return nil, fault.Newf(fault.Invalid, "UNKNOWN_SERVICE", "there is no service %q; there are %v", service, rabbit.Services())
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Worker{bus: bus, handlers: handlers, cfg: cfg}, nil
}

// Run works until ctx ends; commands that were begun are finished and acknowledged. Error: none but the bus's own.
func (w *Worker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, service := range w.cfg.Services {
		group.Go(func() error {
			return w.bus.Work(ctx, service, w.concurrency(service), func(ctx context.Context, c rabbit.Command) (rabbit.Reply, error) {
				return w.handle(ctx, service, c)
			})
		})
	}
	return group.Wait()
}

func (w *Worker) concurrency(service string) int {
	if n := w.cfg.Concurrency[service]; n > 0 {
		return n
	}
	return workerConcurrency
}

// handle carries one command out. What its handler refuses is an answer; what may yet succeed is an error, and comes again.
func (w *Worker) handle(ctx context.Context, service string, c rabbit.Command) (rabbit.Reply, error) {
	ctx = telemetry.WithCorrelation(telemetry.WithTraceparent(ctx, c.Traceparent), c.Correlation)
	ctx, span := otel.Tracer(tracer).Start(ctx, "process "+service+"."+c.Name, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("messaging.message.id", c.ID.String())))
	defer span.End()
	reply := rabbit.Reply{Command: c.ID, Name: c.Name, Key: c.Key, Correlation: c.Correlation, Traceparent: telemetry.Traceparent(ctx)}
	result, err := w.handlers.Dispatch(ctx, auth.Internal(service), c.Name, c.Body)
	if err != nil {
		span.SetStatus(codes.Error, fault.CodeOf(err))
		if !refusal(err) {
			return reply, err
		}
		reply.Code, reply.Message, reply.Kind = fault.CodeOf(err), fault.MessageOf(err), fault.KindOf(err).String()
		return reply, nil
	}
	if reply.Body, err = json.Marshal(result); err != nil {
		return reply, fault.Wrap(err, fault.Internal, "RESULT_UNENCODABLE", "the command's result can't be encoded")
	}
	reply.OK = true
	return reply, nil
}

// refusal reports whether the fault is the handler's last word. Everything else may succeed when it comes again, or is a defect, which
// the bus keeps as a dead letter: so is a command that this program does not understand, since another version of it may.
func refusal(err error) bool {
	if errors.Is(err, commands.ErrUnknownCommand) || errors.Is(err, commands.ErrCommandMalformed) {
		return false
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Missing, fault.Conflict, fault.Denied:
		return true
	}
	return false
}
