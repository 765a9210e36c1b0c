package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/internal/fault"
)

// errStopping ends what would go on for ever; clients then look for the node again.
func errStopping() error {
	return status.Error(codes.Unavailable, "Server Is Not Ready: it is stopping")
}

func invalid(message string) error { return status.Error(codes.InvalidArgument, message) }

// refuse ends a call with a status and the trailers that clients read, given as pairs.
func refuse(ctx context.Context, code codes.Code, message string, trailers ...string) error {
	for i := 1; i < len(trailers); i += 2 {
		trailers[i] = printable(trailers[i])
	}
	if err := grpc.SetTrailer(ctx, metadata.Pairs(trailers...)); err != nil {
		return status.Errorf(codes.Internal, "%s (and its trailers could not be set: %v)", message, err)
	}
	return status.Error(code, message)
}

// printable percent-encodes what a header can't hold, byte by byte, as grpc-message does: a stream's name is any text, and without its
// trailer some clients end their process.
func printable(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func refuseDeleted(ctx context.Context, stream string) error {
	return refuse(ctx, codes.FailedPrecondition, "Event stream '"+stream+"' is deleted.", "exception", "stream-deleted", "stream-name", stream)
}

func refuseTooLarge(ctx context.Context, limit int) error {
	return refuse(ctx, codes.InvalidArgument, "Maximum Append Size of "+strconv.Itoa(limit)+" Exceeded; split the append.",
		"exception", "maximum-append-size-exceeded", "maximum-append-size", strconv.Itoa(limit))
}

func refuseProperties(ctx context.Context) error {
	return refuse(ctx, codes.InvalidArgument, "Required Metadata Property is missing: an event needs type and content-type.",
		"exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
}

func refuseRevision(ctx context.Context, e *engine.RevisionError) error {
	return refuse(ctx, codes.FailedPrecondition, "WrongExpectedVersion: expected "+strconv.FormatInt(int64(e.Expected), 10)+", actual "+strconv.FormatInt(e.Current, 10),
		"exception", "wrong-expected-version", "stream-name", e.Stream,
		"expected-version", strconv.FormatInt(int64(e.Expected), 10), "actual-version", strconv.FormatInt(e.Current, 10))
}

func refuseAccess(ctx context.Context, message string) error {
	return refuse(ctx, codes.PermissionDenied, "Access Denied: "+message, "exception", "access-denied")
}

// failed turns an error of the engine into a status. Errors that clients know more about are handled by the callers: wrong
// revisions, missing streams.
func (s *Server) failed(ctx context.Context, stream string, err error) error {
	var wrong *engine.RevisionError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrStreamDeleted):
		return refuseDeleted(ctx, stream)
	case errors.As(err, &wrong):
		return refuseRevision(ctx, wrong)
	case errors.Is(err, engine.ErrTooLarge):
		return refuseTooLarge(ctx, s.cfg.MaxAppend)
	case errors.Is(err, engine.ErrLinkStream):
		return refuseAccess(ctx, fault.MessageOf(err))
	case fault.KindOf(err) == fault.Timeout:
		return status.Error(codes.Aborted, "Operation timed out: "+fault.MessageOf(err))
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		s.cfg.Logger.ErrorContext(ctx, "event store: a call failed", "error", err)
		return status.Error(codes.Internal, internalMessage(err))
	}
	return status.Error(codes.Code(kind.GRPC()), fault.MessageOf(err))
}

// internalMessage names a damaged record, which the operator must hear of; everything else is masked.
func internalMessage(err error) string {
	var f *fault.Error
	if errors.Is(err, engine.ErrCorrupt) && errors.As(err, &f) {
		return f.Message
	}
	return fault.MessageOf(err)
}
