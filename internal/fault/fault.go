// Package fault is Annal's one way to fail.
//
// Every error that crosses a package boundary is an *Error: a Kind that tells machines what to do, a Code that tells
// programs which case it is (stable, upper snake case, part of the API), a Message that tells a person what to do, and,
// where input was wrong, the Path of the field. The cause is kept for logs and errors.Is, never shown to a user.
//
//	where an error is born       fault.New(fault.Invalid, "QUANTITY_OUT_OF_RANGE", "quantity must be between 1 and 1000000")
//	where a foreign one enters   fault.Wrap(err, fault.Unavailable, "STORE_UNAVAILABLE", "the event store does not answer; try again")
//	where one is asked           fault.KindOf(err) == fault.Conflict, errors.Is(err, order.ErrAlreadyShipped)
//
// A domain refusal is a package variable beside its decision. Two faults are the same for errors.Is if their kinds and
// codes are equal, so a variable may be given a field path (At) or a more exact message (Because) on its way out.
//
// The table in table.go maps each Kind to a GraphQL code, an HTTP status, a gRPC code, an exit status of the
// tool, and whether trying again can help. What nobody classified is Internal and is masked to users.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind classifies a fault by what the caller can do about it.
type Kind uint8

// The kinds. The zero Kind is Internal: what nobody classified is ours to mend.
const (
	Internal        Kind = iota // a defect or an impossible state; masked to users
	Invalid                     // the input is wrong; change it
	Unauthenticated             // who are you
	Denied                      // not allowed
	Missing                     // there is no such thing, or not for you
	Conflict                    // the state refuses it: a rule, a race, a reused key
	Exhausted                   // a limit is reached: rate, size, space
	Timeout                     // the outcome is unknown or came too late
	Unavailable                 // a dependency is away; try again
)

// Error is the only error type that crosses a package boundary.
type Error struct {
	Kind    Kind
	Code    string   // stable, UPPER_SNAKE
	Message string   // for a person: what is wrong and what to do; holds no personal data
	Path    []string // the input field, outermost first; empty if the fault concerns the whole
	cause   error
}

// New returns a fault without a cause.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Newf is New with a formatted message.
func Newf(kind Kind, code, format string, args ...any) *Error {
	return New(kind, code, fmt.Sprintf(format, args...))
}

// Wrap classifies a foreign error at the boundary where it enters. A nil err gives nil; an err that is a fault already
// keeps its own kind and code. A cancelled or expired context is a Timeout whatever the caller says.
func Wrap(err error, kind Kind, code, message string) error {
	if err == nil {
		return nil
	}
	if known := (*Error)(nil); errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: Timeout, Code: "DEADLINE_EXCEEDED", Message: message + " (cancelled or out of time)", cause: err}
	}
	return &Error{Kind: kind, Code: code, Message: message, cause: err}
}

// Error returns message, path and cause in one line, for logs and terminals.
func (e *Error) Error() string {
	var b strings.Builder
	if len(e.Path) > 0 {
		b.WriteString(strings.Join(e.Path, "."))
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.cause != nil {
		b.WriteString(": ")
		b.WriteString(e.cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is a fault of the same kind and code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Code == e.Code
}

// At returns a copy of the fault with path put before its own path.
func (e *Error) At(path ...string) *Error {
	c := *e
	c.Path = append(append([]string{}, path...), e.Path...)
	return &c
}

// Because returns a copy of the fault with a more exact message.
func (e *Error) Because(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// KindOf returns the kind of the outermost fault in err: Internal if there is none, Timeout for a bare context error.
func KindOf(err error) Kind {
	if f := (*Error)(nil); errors.As(err, &f) {
		return f.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Timeout
	}
	return Internal
}

// CodeOf returns the code of the outermost fault in err, "INTERNAL" if there is none.
func CodeOf(err error) string {
	if f := (*Error)(nil); errors.As(err, &f) {
		return f.Code
	}
	if KindOf(err) == Timeout {
		return "DEADLINE_EXCEEDED"
	}
	return "INTERNAL"
}

// MessageOf returns what a user may read of err: the outermost fault's message, or a masked sentence for what nobody
// classified or what is Internal.
func MessageOf(err error) string {
	if f := (*Error)(nil); errors.As(err, &f) && f.Kind != Internal {
		return f.Message
	}
	if KindOf(err) == Timeout {
		return "the request was cancelled or ran out of time"
	}
	return "something went wrong on our side; the trace id helps us to find it"
}
