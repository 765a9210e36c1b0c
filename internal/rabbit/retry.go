package rabbit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
)

// The headers of retries and dead letters. A message in a dead queue has its own headers and body as they were.
const (
	HeaderAttempts    = "annal-attempts"      // failed attempts so far
	HeaderFirstFailed = "annal-first-failed"  // RFC 3339
	HeaderLastFailed  = "annal-last-failed"   // RFC 3339
	HeaderDeadCause   = "annal-dead-cause"    // the last error, for operators
	HeaderDeadCode    = "annal-dead-code"     // its fault code, dead letters are grouped by it
	HeaderDeadKind    = "annal-dead-kind"     // its fault kind
	HeaderDeadStack   = "annal-dead-stack"    // of a panic
	HeaderDeadFrom    = "annal-dead-exchange" // where it was published
	HeaderDeadKey     = "annal-dead-key"      // with which routing key: replaying publishes it there again
)

// ErrPanic is the cause of a dead letter whose handler panicked.
var ErrPanic = fault.New(fault.Internal, "HANDLER_PANICKED", "the handler panicked")

type panicError struct {
	error
	stack string
}

func (p panicError) Unwrap() error { return p.error }

// attempt handles a job and, if that fails, hands it to a delay queue or the dead letters. An error means that the broker took
// neither: the delivery must come again.
func (b *Bus) attempt(ctx context.Context, c crew, j job) error {
	began := time.Now()
	ctx, span := startProcess(ctx, j.Message)
	err := safely(ctx, c.process, j)
	span.finish(err)
	b.metrics.handled(j.Message.Key, err, time.Since(began))
	var unsettled unsettledError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unsettled), ctx.Err() != nil:
		return err // the broker is away, or the grace is over: no verdict on the command
	}
	return b.putAside(ctx, c, j, err)
}

func safely(ctx context.Context, process func(context.Context, job) error, j job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError{ErrPanic.Because("the handler panicked: %v", p), string(debug.Stack())}
		}
	}()
	return process(ctx, j)
}

func (b *Bus) putAside(ctx context.Context, c crew, j job, cause error) error {
	kind := fault.KindOf(cause)
	attempts, _ := j.Headers[HeaderAttempts].(int64)
	attempts++
	m := j.Message
	m.Headers = aside(m.Headers, attempts, time.Now())
	if _, err := uuid.Parse(m.ID); err != nil {
		m.ID = uuid.NewString() // a foreign publisher's message; returns are told apart by id
	}
	m.Mandatory, m.Expiration, m.Transient = true, "", false
	retryable := (kind.Retryable() || kind == fault.Conflict) && attempts < int64(b.cfg.MaxAttempts)
	if retryable {
		m.Exchange = retryName(b.cfg.Delays[min(int(attempts)-1, len(b.cfg.Delays)-1)])
		b.cfg.Logger.WarnContext(ctx, "command is tried again", "queue", m.Key, "command", m.Type, "attempts", attempts, "exchange", m.Exchange, "error", cause)
	} else {
		deadHeaders(m, cause)
		m.Exchange = DeadExchange
		b.metrics.dead.WithLabelValues(m.Key, fault.CodeOf(cause)).Inc()
		b.cfg.Logger.ErrorContext(ctx, "command is a dead letter", "queue", m.Key, "command", m.Type, "attempts", attempts, "error", cause)
	}
	return b.deliver(ctx, c.layout, []Message{m})
}

// aside copies the headers without the broker's own and with the count of attempts.
func aside(headers map[string]any, attempts int64, now time.Time) map[string]any {
	h := maps.Clone(headers)
	maps.DeleteFunc(h, func(name string, _ any) bool { return strings.HasPrefix(name, "x-") })
	if h == nil {
		h = make(map[string]any, 4)
	}
	at := now.UTC().Format(time.RFC3339Nano)
	if _, known := h[HeaderFirstFailed].(string); !known {
		h[HeaderFirstFailed] = at
	}
	h[HeaderLastFailed], h[HeaderAttempts] = at, attempts
	return h
}

func deadHeaders(m Message, cause error) {
	m.Headers[HeaderDeadFrom], m.Headers[HeaderDeadKey] = CommandsExchange, m.Key
	m.Headers[HeaderDeadCode], m.Headers[HeaderDeadKind] = fault.CodeOf(cause), fault.KindOf(cause).String()
	m.Headers[HeaderDeadCause] = clip(fmt.Sprint(cause), 2048)
	var p panicError
	if errors.As(cause, &p) {
		m.Headers[HeaderDeadStack] = clip(p.stack, 8192)
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
