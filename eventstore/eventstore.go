// Package eventstore is Annal's vocabulary of the log and its client.
//
// The vocabulary (this file, categories.go, metadata.go) is what every stage says: a Stream has a Category and an id, an
// event stands at a Revision of its stream and at a Position of the log, its metadata is the frozen envelope Metadata.
// A domain event, the only kind that relay, feed, audit, export and every count know, is defined once, in Recorded.Domain.
//
// The client (client.go) is the only importer of the official EventStoreDB client. Everything speaks to the store through
// it, and the same programs run against our embedded server (folders engine, server) or an EventStoreDB cluster; what both
// must keep is the contract suite in eventstoretest.
//
// Nothing appends with "any" revision: an append names the revision it was decided at, and a conflict is a fault of kind
// Conflict (ErrWrongRevision) that the caller answers by deciding again. A stored event is never changed.
package eventstore

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
)

// Stream is the name of a stream: "<category>-<id>".
type Stream string

// Category returns what stands before the first '-', "" if there is none.
func (s Stream) Category() Category {
	category, _, ok := strings.Cut(string(s), "-")
	if !ok {
		return ""
	}
	return Category(category)
}

// ID returns what stands after the first '-', "" if there is none.
func (s Stream) ID() string {
	_, id, _ := strings.Cut(string(s), "-")
	return id
}

// Revision is an event's number in its stream, from 0.
type Revision int64

// NoStream is the revision of a stream that has no event; to append at it creates the stream.
const NoStream Revision = -1

// Position is an event's place in the whole log: strictly increasing, not dense, the same wherever the event is read.
// 0 stands before the first event. Comparable only within one store (StoreID).
type Position uint64

// StoreID is the random identity of one store, drawn when it is first used. It travels in every checkpoint and token, so
// that a foreign or restored store is noticed (invariant 19).
type StoreID string

// Event is an event to be appended.
type Event struct {
	ID       uuid.UUID // EventID of command, index and data: only identical bytes are ever sent again under one id
	Type     string    // stored name with version: "order.placed.v1"
	Data     []byte    // JSON
	Metadata []byte    // JSON of Metadata
}

// Recorded is an event as the log holds it.
type Recorded struct {
	Stream   Stream
	Revision Revision
	Position Position
	ID       uuid.UUID
	Type     string
	Data     []byte
	Metadata []byte
	Created  time.Time // when the store took it, UTC; never used for a decision
}

// Domain reports whether the event is a domain event: its category is a registered one, and neither stream nor type
// is the store's own. Snapshots, checkpoints and the store's identity live in streams of unregistered categories.
func (r Recorded) Domain() bool { return IsDomain(r.Stream, r.Type) }

// IsDomain is the definition of a domain event.
func IsDomain(s Stream, eventType string) bool {
	return s.Category().Registered() && !strings.HasPrefix(eventType, "$")
}

// Appended says where the last event of an append stands.
type Appended struct {
	Revision Revision
	Position Position
}

// The faults of the store.
var (
	// ErrWrongRevision answers an append whose stream moved on since it was read; nothing was written. Decide again.
	ErrWrongRevision = fault.New(fault.Conflict, "WRONG_REVISION", "the stream changed since it was read; try again")
	// ErrNoStream answers a read of a stream that has no events.
	ErrNoStream = fault.New(fault.Missing, "STREAM_NOT_FOUND", "there is no such stream")
	// ErrStreamDeleted answers whatever concerns a stream that was deleted.
	ErrStreamDeleted = fault.New(fault.Conflict, "STREAM_DELETED", "the stream was deleted")
	// ErrUnavailable answers while the store can't be reached; an append's outcome is unknown, sending the same events again is safe.
	ErrUnavailable = fault.New(fault.Unavailable, "STORE_UNAVAILABLE", "the event store does not answer; try again")
	// ErrTooLarge refuses an append over the store's limit (1 MiB by default).
	ErrTooLarge = fault.New(fault.Exhausted, "APPEND_TOO_LARGE", "the change is too large for one append; split it")
)
