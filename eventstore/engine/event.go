package engine

import (
	"math"
	"time"
)

// Position is an event's place in the whole log, from 1; 0 means none.
type Position uint64

// End is the position beyond every event.
const End Position = math.MaxUint64

// Revision is an event's place in its stream, from 0.
type Revision uint64

// Tombstone is the revision of the event that ends a stream for ever.
const Tombstone Revision = math.MaxInt64

// LastRevision is the revision beyond every event.
const LastRevision Revision = math.MaxUint64

// Expected is what a writer believes about a stream: the revision it is at, or one of the constants. The numbers are
// those that EventStoreDB puts into its error trailers.
type Expected int64

// Beliefs other than an exact revision.
const (
	ExpectNoStream Expected = -1 // no event yet, or deleted softly
	ExpectAny      Expected = -2 // no belief
	ExpectExists   Expected = -4 // at least one event, or metadata
)

// Exactly expects the stream to be at r.
func Exactly(r Revision) Expected { return Expected(min(r, Tombstone)) }

// Names the engine gives a meaning.
const (
	MetadataPrefix = "$$"             // stream "$$x" holds the metadata of stream x
	MetadataType   = "$metadata"      // type of its events
	TombstoneType  = "$streamDeleted" // type of the event that ends a stream
)

// ID is an event's UUID in RFC 9562 byte order.
type ID [16]byte

// Event is what a writer hands in.
type Event struct {
	ID       ID
	Type     string
	JSON     bool // content type: application/json, or else application/octet-stream
	Metadata []byte
	Data     []byte
}

// Ticks counts 100 ns since 1970-01-01 UTC, the unit in which EventStoreDB tells when an event was created.
type Ticks int64

// TicksOf converts a time.
func TicksOf(t time.Time) Ticks { return Ticks(t.UnixNano() / 100) }

// Time converts back.
func (t Ticks) Time() time.Time { return time.Unix(0, int64(t)*100).UTC() }

// Record is a stored event.
type Record struct {
	Position Position
	Stream   string
	Revision Revision
	Created  Ticks
	Rest     uint64 // events of the same append after this one: a prefix of the log is whole where it is 0
	Event
}

// Appended says where an append is.
type Appended struct {
	Empty    bool     // no event was given; Position is 0
	Position Position // of its last event
	Revision int64    // of its last event; the stream's last revision if Empty, -1 if it has none
}

// Direction of reading.
type Direction bool

// Directions.
const (
	Forwards  Direction = false
	Backwards Direction = true
)
