package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
)

// Metadata is the envelope of every domain event, frozen: docs/envelope.md prints it whole and a golden file pins it.
// EventStoreDB's own keys are used where it has them.
type Metadata struct {
	Correlation string    `json:"$correlationId"`       // the request or import that everything below came from
	Causation   string    `json:"$causationId"`         // id of the event or command that caused this one
	Command     string    `json:"commandId"`            // CommandID of the command that appended it
	Name        string    `json:"command"`              // the command's name: "PlaceOrder"
	Actor       Actor     `json:"actor"`                // who
	InputMAC    string    `json:"inputMac"`             // base64url HMAC-SHA-256 of the canonical command input
	OccurredAt  time.Time `json:"occurredAt"`           // business time, UTC, microseconds; history keeps its own
	Schema      int       `json:"schema"`               // version of this envelope: 1
	Traceparent string    `json:"traceparent,omitzero"` // W3C trace context of the command
	Reason      string    `json:"reason,omitzero"`      // why, where somebody said; no personal data
	Country     string    `json:"country,omitzero"`     // consumers select by it
	Channel     string    `json:"channel,omitzero"`     // "web", "import", "staff": consumers select by it
}

// Actor says who acted.
type Actor struct {
	Kind  string   `json:"kind"`
	ID    string   `json:"id"`
	Roles []string `json:"roles"`
	Auth  string   `json:"auth"` // how authenticated
}

// MetadataSchema is the current version of the envelope.
const MetadataSchema = 1

// ErrMetadata answers an envelope that can't be read.
var ErrMetadata = fault.New(fault.Internal, "METADATA_MALFORMED", "the event's metadata is not an Annal envelope")

// Encode returns the envelope's JSON.
func (m Metadata) Encode() ([]byte, error) {
	b, err := json.Marshal(m)
	return b, fault.Wrap(err, fault.Internal, "METADATA_MALFORMED", "the envelope can't be encoded")
}

// DecodeMetadata reads an envelope. Unknown keys are kept out; a missing one is its zero value. Error: ErrMetadata.
func DecodeMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fault.Wrap(err, ErrMetadata.Kind, ErrMetadata.Code, ErrMetadata.Message)
	}
	return m, nil
}

// Namespaces of the ids that we derive (UUIDv5, RFC 9562 section 5.5). Frozen.
var (
	commandSpace = uuid.MustParse("5f0d1a3e-6a0b-5c39-9d2e-0c7a4b1e8f11")
	eventSpace   = uuid.MustParse("b1c6a9d4-2e57-5f80-8a43-7d90e2f6c522")
)

// CommandID derives a command's id from who sends it, the command's name and the idempotency key.
func CommandID(actorKind, actorID, name, key string) uuid.UUID {
	return uuid.NewSHA1(commandSpace, lengthPrefixed(actorKind, actorID, name, key))
}

// EventID derives an event's id from its command, its index in the command's events (from 0, over all streams the command
// appends to) and its data, so that an id stands for these very bytes.
func EventID(command uuid.UUID, index int, data []byte) uuid.UUID {
	sum := sha256.Sum256(data)
	b := make([]byte, 0, 16+8+len(sum))
	b = append(b, command[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(index))
	return uuid.NewSHA1(eventSpace, append(b, sum[:]...))
}

func lengthPrefixed(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
