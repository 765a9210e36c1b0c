package eventstore

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/annalhq/annal/internal/fault"
)

// ErrTimeout answers when the store is connected but silent for too long. An append's outcome is unknown then; sending the
// same events again is safe.
var ErrTimeout = fault.New(fault.Timeout, "STORE_TIMEOUT", "the event store did not answer in time; try again")

// ErrClosed answers every call after Close.
var ErrClosed = fault.New(fault.Unavailable, "STORE_CLIENT_CLOSED", "the connection to the event store was closed by this process")

// Config adjusts a Client. The zero value is right for production.
type Config struct {
	Logger *slog.Logger // nil: slog.Default()

	AppendTimeout  time.Duration // bounds one append when ctx allows longer; default 10 s
	StallTimeout   time.Duration // longest silence of the store while a read waits for it; default 30 s
	ConnectTimeout time.Duration // bounds one attempt to connect; default 3 s
	Patience       time.Duration // how long after an outage began calls wait for the store to come back, before they are refused at once; default 3 s
	MaxAppend      int           // bytes of one append (data, metadata, type names) refused locally; default 1 MiB, the store's own default

	// PlainAppend sends each append as a call of its own even if the store offers BatchAppend. Slower; for diagnosis.
	PlainAppend bool
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.AppendTimeout, 10 * time.Second},
		{&c.StallTimeout, 30 * time.Second},
		{&c.ConnectTimeout, 3 * time.Second},
		{&c.Patience, 3 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.MaxAppend <= 0 {
		c.MaxAppend = 1 << 20
	}
	return c
}

// Client speaks to one event store: our embedded server or an EventStoreDB cluster. Safe for concurrent use.
//
// The official client below it ends for good when it can't find the store for a second, and calls that wait for it then may
// wait for ever. So a Client holds a session (client_session.go) that it throws away with the first call that finds the
// store away, and opens the next one as soon as the store answers again. Calls made during the first Patience of an
// outage wait; later ones are refused at once with ErrUnavailable, until the store is back. Nothing has to be re-opened.
type Client struct {
	cfg    Config
	target *esdb.Configuration
	log    *slog.Logger
	tracer trace.Tracer

	ctx     context.Context // ends with Close; bounds sessions and connection attempts
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	current atomic.Pointer[session]
	link    link
}

// Open returns a client of the store at the URL: "esdb://host:port?tls=false", "esdb+discover://name:port",
// "esdb://a:1,b:2,c:3", with the settings of EventStoreDB connection strings ("kurrentdb" is taken for "esdb"). It does not
// connect: the first call does, so a store that is down is the call's fault, not Open's. Error: Invalid for a malformed URL.
func Open(url string, cfg Config) (*Client, error) {
	target, err := parseTarget(url)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Client{
		cfg: cfg, target: target, log: cfg.Logger, tracer: otel.Tracer("github.com/annalhq/annal/eventstore"),
		ctx: ctx, cancel: cancel,
	}, nil
}

// Close ends all calls with ErrClosed and frees the connections. Closing twice, or a nil client, is fine.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.link.close()
	c.cancel()
	if s := c.current.Load(); s != nil {
		c.retire(s, ErrClosed)
	}
	c.tasks.Wait()
	return nil
}

// Append writes the events to the stream, all or none, if the stream is at the expected revision (NoStream or an exact
// one), and says where the last of them stands. Sending the same events (same ids) at the same expected revision again
// is answered as the first time, so a call that finds the store away is sent a second time before it is given up.
//
// Faults: ErrWrongRevision and nothing was written; ErrStreamDeleted; ErrTooLarge; Invalid for events that no store takes;
// ErrUnavailable, ErrTimeout or the context's own: the outcome is unknown, the caller may send the same events again.
func (c *Client) Append(ctx context.Context, stream Stream, expected Revision, events []Event) (Appended, error) {
	if c == nil {
		return Appended{}, ErrClosed
	}
	if err := c.checkAppend(stream, expected, events); err != nil {
		return Appended{}, err
	}
	ctx, span := c.tracer.Start(ctx, "eventstore.append", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("annal.stream.category", string(stream.Category())), attribute.Int("annal.events", len(events))))
	defer span.End()
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.AppendTimeout, ErrTimeout)
	defer cancel()
	done, err := retryOnce(ctx, func() (Appended, error) {
		s, err := c.session(ctx)
		if err != nil {
			return Appended{}, err
		}
		return s.append(ctx, stream, expected, events)
	})
	if err != nil {
		span.SetStatus(codes.Error, fault.CodeOf(err))
	}
	return done, err
}

func (c *Client) checkAppend(stream Stream, expected Revision, events []Event) error {
	switch {
	case stream == "":
		return fault.New(fault.Invalid, "STREAM_NAME_EMPTY", "a stream needs a name")
	case expected < NoStream:
		return fault.New(fault.Invalid, "REVISION_OUT_OF_RANGE", "an append names NoStream or an exact revision")
	case len(events) == 0:
		return fault.New(fault.Invalid, "APPEND_EMPTY", "an append needs at least one event")
	}
	size := 0
	for _, e := range events {
		if e.ID == [16]byte{} || e.Type == "" {
			return fault.New(fault.Invalid, "EVENT_INCOMPLETE", "an event needs an id and a type")
		}
		size += len(e.Data) + len(e.Metadata) + 2*len(e.Type)
	}
	if size > c.cfg.MaxAppend {
		return ErrTooLarge
	}
	return nil
}

// retryOnce calls f again if it found the store away: the session is new by then, so a connection that died while
// idle, or a store that restarts, costs the caller nothing but time. REQUIRES: f may be repeated without a second effect.
func retryOnce[T any](ctx context.Context, f func() (T, error)) (T, error) {
	result, err := f()
	if err != nil && isUnavailable(err) && ctx.Err() == nil {
		return f()
	}
	return result, err
}
