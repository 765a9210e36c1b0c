package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/telemetry"
)

// presenter makes of any error what a caller may see of it. All errors of the API pass here: extensions.code is the kind's
// word, extensions.reason the fault's code, extensions.traceId leads to the log line. What is internal is logged here, where it
// ends.
type presenter struct{ log *slog.Logger }

func (p presenter) present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{Path: graphql.GetPath(ctx)}
	if g := (*gqlerror.Error)(nil); errors.As(err, &g) {
		shown.Locations = g.Locations
		if g.Path != nil {
			shown.Path = g.Path
		}
		if g.Err == nil && ofTheDocument(g) {
			shown.Message = g.Message
			shown.Extensions = extensions(ctx, g.Extensions["code"], fault.Invalid.GraphQL())
			return shown
		}
	}
	if fault.KindOf(err) == fault.Internal {
		p.log.ErrorContext(ctx, "a request met a defect", "error", err, "path", shown.Path.String())
	}
	shown.Message = fault.MessageOf(err)
	shown.Extensions = extensions(ctx, fault.CodeOf(err), fault.KindOf(err).GraphQL())
	return shown
}

// ofTheDocument reports whether gqlgen itself found the document or its variables wrong; its messages name the caller's words only.
func ofTheDocument(g *gqlerror.Error) bool {
	code := g.Extensions["code"]
	return code == errcode.ValidationFailed || code == errcode.ParseFailed
}

func extensions(ctx context.Context, reason any, code string) map[string]any {
	e := map[string]any{"code": code, "reason": reason}
	if id := telemetry.TraceID(ctx); id != "" {
		e["traceId"] = id
	}
	return e
}

// recovered turns a panic into an internal fault; the stack goes to the log only.
func (p presenter) recovered(ctx context.Context, cause any) error {
	p.log.ErrorContext(ctx, "a resolver panicked", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	return fault.New(fault.Internal, "PANIC", "a resolver panicked")
}
