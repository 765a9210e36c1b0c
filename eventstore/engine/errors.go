package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/internal/fault"
)

// What the engine answers instead of doing; ask with errors.Is. *RevisionError carries the details of ErrWrongRevision.
var (
	ErrWrongRevision    = fault.New(fault.Conflict, "WRONG_EXPECTED_REVISION", "the stream is not at the expected revision; read it again and decide anew")
	ErrStreamDeleted    = fault.New(fault.Conflict, "STREAM_DELETED", "the stream was deleted")
	ErrStreamMissing    = fault.New(fault.Missing, "STREAM_MISSING", "there is no such stream")
	ErrInvalidAppend    = fault.New(fault.Invalid, "INVALID_APPEND", "the append is malformed")
	ErrLinkStream       = fault.New(fault.Denied, "LINK_STREAM", "the event store itself writes this stream; append to the streams that it links to")
	ErrTooLarge         = fault.New(fault.Invalid, "APPEND_TOO_LARGE", "the append is too large; split it")
	ErrOutcomeUnknown   = fault.New(fault.Timeout, "APPEND_OUTCOME_UNKNOWN", "the append was not confirmed in time; repeat it with the same event ids")
	ErrCorrupt          = fault.New(fault.Internal, "STORE_CORRUPT", "the event store is damaged; restore it from a backup")
	ErrClosed           = fault.New(fault.Unavailable, "STORE_CLOSED", "the event store is closing")
	ErrLocked           = fault.New(fault.Unavailable, "STORE_LOCKED", "another process has this event store open; stop it, or choose another directory")
	ErrForeignDirectory = fault.New(fault.Invalid, "STORE_FOREIGN_DIRECTORY", "the directory holds other files; give the event store an empty one")
	ErrReadOnly         = fault.New(fault.Invalid, "STORE_READ_ONLY", "the event store was opened for reading only")
	ErrNewerFormat      = fault.New(fault.Invalid, "STORE_NEWER_FORMAT", "a newer program wrote this event store; use that one")
)

// RevisionError says at which revision a stream is. errors.Is(err, ErrWrongRevision) holds for it.
type RevisionError struct {
	Stream   string
	Expected Expected
	Current  int64 // last revision, -1 if the stream has no event
}

// Error returns one line without the stream's name.
func (e *RevisionError) Error() string {
	return fmt.Sprintf("%s (expected %d, is %d)", ErrWrongRevision.Message, e.Expected, e.Current)
}

// Unwrap returns ErrWrongRevision.
func (e *RevisionError) Unwrap() error { return ErrWrongRevision }

// corrupt names the record that can't be trusted.
func corrupt(at Position, format string, args ...any) error {
	return ErrCorrupt.Because("the event store is damaged at position %d: %s", at, fmt.Sprintf(format, args...))
}

// damagedLinks says that an index of links can't be trusted; the log may well be whole.
func damagedLinks(stream, format string, args ...any) error {
	return ErrCorrupt.Because("the index behind %q is damaged: %s; it can be built anew from the log", stream, fmt.Sprintf(format, args...))
}

// readFault classifies what Pebble says while reading.
func readFault(err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		return damagedFile(err)
	}
	return fault.Wrap(err, fault.Internal, "STORE_READ", "the event store can't read its files")
}

// damagedFile is ErrCorrupt because of what Pebble says of a file.
func damagedFile(err error) error {
	return fault.Wrap(firstLine{err}, ErrCorrupt.Kind, ErrCorrupt.Code, ErrCorrupt.Message)
}

// firstLine is an error of Pebble without the lines about itself.
type firstLine struct{ error }

func (f firstLine) Error() string {
	said, _, _ := strings.Cut(f.error.Error(), "\n")
	return said
}

func (f firstLine) Unwrap() error { return f.error }

func openFault(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "lock held by current process"), strings.Contains(text, "resource temporarily unavailable"):
		return fault.Wrap(err, ErrLocked.Kind, ErrLocked.Code, ErrLocked.Message)
	case pebble.IsCorruptionError(err), errors.Is(err, fs.ErrNotExist), strings.Contains(text, "object size mismatch"):
		return damagedFile(err) // also a table that is gone or cut: Pebble does not call that corruption
	case diskFull(err):
		return fault.Wrap(err, ErrDiskFull.Kind, ErrDiskFull.Code, ErrDiskFull.Message)
	}
	return fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store can't open its files")
}

func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
