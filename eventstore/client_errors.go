package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/internal/fault"
)

var (
	// ErrCredentials: the store doesn't take this process's user or password, or the user lacks a role. It is Internal, since no
	// caller can mend it; its cause is a reach.Error for operators.
	ErrCredentials = fault.New(fault.Internal, "STORE_CREDENTIALS", "the event store refuses this process's credentials or rights; see user and password in ANNAL_EVENTSTORE_URL, and the user's roles")
	errExhausted   = fault.New(fault.Exhausted, "STORE_EXHAUSTED", "the event store has no room for this; free some space or try again later")
	errRefused     = fault.New(fault.Internal, "STORE_REFUSED", "the event store answered with an error that should not happen")
)

// wrap gives err the kind, code and message of f, and keeps err as its cause.
func wrap(err error, f *fault.Error) error { return fault.Wrap(err, f.Kind, f.Code, f.Message) }

// wrapAnew is wrap for an err that is a fault already: its kind and code are f's from here on.
func wrapAnew(err error, f *fault.Error) error {
	return fmt.Errorf("%w: %v", f, err) //nolint:errorlint // the kind of err must not be found behind that of f
}

// contextFault says why ctx ended: our own deadline (ErrTimeout) or the caller's.
func contextFault(ctx context.Context) error {
	return wrap(context.Cause(ctx), ErrTimeout)
}

// fault translates whatever a call of the session came back with.
func (s *session) fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return contextFault(ctx)
	case s.ctx.Err() != nil: // retired while the call ran: what the call says now is only its echo
		return s.gone()
	}
	if errors.Is(err, io.EOF) { // the stream ended while we were sending
		return wrap(err, ErrUnavailable)
	}
	f := statusFault(status.Code(cause(err)))
	var official *esdb.Error
	if errors.As(err, &official) && official.Code() != esdb.ErrorCodeUnknown {
		f = officialFault(official.Code())
	}
	if f == ErrCredentials {
		err = refused(s.address, err)
	}
	return wrap(err, f)
}

// cause returns the innermost error that knows a gRPC status.
func cause(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if _, ok := e.(interface{ GRPCStatus() *status.Status }); ok {
			return e
		}
	}
	return err
}

func officialFault(code esdb.ErrorCode) *fault.Error {
	switch code {
	case esdb.ErrorCodeWrongExpectedVersion:
		return ErrWrongRevision
	case esdb.ErrorCodeStreamDeleted:
		return ErrStreamDeleted
	case esdb.ErrorCodeResourceNotFound:
		return ErrNoStream
	case esdb.ErrorUnavailable, esdb.ErrorCodeConnectionClosed, esdb.ErrorCodeNotLeader:
		return ErrUnavailable
	case esdb.ErrorCodeDeadlineExceeded, esdb.ErrorAborted:
		return ErrTimeout
	case esdb.ErrorCodeUnauthenticated, esdb.ErrorCodeAccessDenied:
		return ErrCredentials
	}
	return errRefused
}

func statusFault(code codes.Code) *fault.Error {
	switch code {
	case codes.Unavailable, codes.Canceled: // cancelled, though not by the caller: the connection was closed below the call
		return ErrUnavailable
	case codes.DeadlineExceeded, codes.Aborted:
		return ErrTimeout
	case codes.Unauthenticated, codes.PermissionDenied:
		return ErrCredentials
	case codes.ResourceExhausted:
		return errExhausted
	}
	return errRefused
}

func isUnavailable(err error) bool { return errors.Is(err, ErrUnavailable) }
func isClosed(err error) bool      { return errors.Is(err, ErrClosed) }
