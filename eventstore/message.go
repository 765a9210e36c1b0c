package eventstore

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
)

// A Message is an event, or a watermark, as the relay publishes it and the feed reads it: docs/messages.md is its
// specification. It holds all that is needed to rebuild the very Recorded that the store would give.
type Message struct {
	Event     Recorded // of a watermark only Position counts
	After     After    // before an event: what stands before it. In a watermark: what stands at or before its position
	Store     StoreID
	Watermark bool
	Omitted   bool // Data and Metadata were too large for the broker; the store has them
}

// After is, for each category that has any event up to some place in the log, the position of its last one.
type After map[Category]Position

// Clone returns a copy.
func (a After) Clone() After { return maps.Clone(a) }

// Last returns the position of the last event of any of the categories; 0 if there is none.
func (a After) Last(categories []Category) Position {
	last := Position(0)
	for _, c := range categories {
		last = max(last, a[c])
	}
	return last
}

// ErrMessage answers headers that are not ours.
var ErrMessage = fault.New(fault.Invalid, "MESSAGE_MALFORMED", "the message does not carry Annal's headers")

// The header names. Those of CloudEvents are as in its AMQP 1.0 binding; RabbitMQ 4 turns them into application properties. Each
// costs the broker 3% of its throughput, so nothing is said twice: correlation and causation are in the metadata, the
// partition key is the subject.
const (
	HeaderID          = "cloudEvents:id"
	HeaderSource      = "cloudEvents:source"
	HeaderSpecVersion = "cloudEvents:specversion"
	HeaderType        = "cloudEvents:type"
	HeaderTime        = "cloudEvents:time"
	HeaderSubject     = "cloudEvents:subject"
	HeaderSchema      = "cloudEvents:dataschema"
	HeaderTraceparent = "traceparent"
	HeaderCountry     = "country"
	HeaderChannel     = "channel"
	HeaderPosition    = "annal-position"
	HeaderRevision    = "annal-revision"
	HeaderStore       = "annal-store"
	HeaderAfter       = "annal-after"
	HeaderMetadata    = "annal-metadata"
	HeaderCreated     = "annal-created"
	HeaderOmitted     = "annal-omitted"
)

// The limits beyond which an event travels without its content. AMQP puts all headers into one frame of 128 KiB at most.
const (
	maxMessageData     = 8 << 20
	maxMessageMetadata = 32 << 10
	maxMessageName     = 8 << 10 // of a stream or type
)

// envelope is what the relay reads of the metadata: properties that consumers select by and that carry traces, no payload.
type envelope struct {
	OccurredAt  string `json:"occurredAt"`
	Traceparent string `json:"traceparent"`
	Country     string `json:"country"`
	Channel     string `json:"channel"`
}

// RoutingKey returns "<category>.<event>": the type without its version, below the stream's category. AMQP allows 255 bytes.
func (m Message) RoutingKey() string {
	category, event := string(m.Event.Stream.Category()), m.Event.Type
	if i := strings.LastIndex(event, ".v"); i > 0 {
		event = event[:i]
	}
	event = strings.TrimPrefix(event, category+".")
	if key := category + "." + event; len(key) <= 255 {
		return key
	}
	return category + ".unnamed"
}

// Encode returns the headers of the message and its body. A type other than int64, string and bool never occurs.
func (m Message) Encode() (headers map[string]any, body []byte) {
	h := make(map[string]any, 20)
	h[HeaderPosition] = int64(m.Event.Position) //nolint:gosec // AMQP has no uint64 here; a log of 2^63 bytes is far
	h[HeaderStore] = string(m.Store)
	h[HeaderAfter] = m.After.text()
	if m.Watermark {
		return h, nil
	}
	m.omitWhatIsTooLarge()
	m.encodeEvent(h)
	m.encodeEnvelope(h)
	return h, m.Event.Data
}

func (m *Message) omitWhatIsTooLarge() {
	e := &m.Event
	if len(e.Data) > maxMessageData || len(e.Metadata) > maxMessageMetadata || len(e.Stream) > maxMessageName || len(e.Type) > maxMessageName {
		m.Omitted = true
		e.Data, e.Metadata = nil, nil
		e.Stream, e.Type = e.Stream[:min(len(e.Stream), 255)], e.Type[:min(len(e.Type), 255)]
	}
}

func (m Message) encodeEvent(h map[string]any) {
	e := m.Event
	h[HeaderID] = e.ID.String()
	h[HeaderSource] = "/annal/stores/" + string(m.Store)
	h[HeaderSpecVersion] = "1.0"
	h[HeaderType] = e.Type
	h[HeaderSubject] = string(e.Stream)
	h[HeaderSchema] = "urn:annal:event:" + e.Type
	h[HeaderRevision] = int64(e.Revision)
	h[HeaderCreated] = e.Created.UnixNano()
	if m.Omitted {
		h[HeaderOmitted] = true
		return
	}
	h[HeaderMetadata] = string(e.Metadata)
}

// An envelope that can't be read makes no difference but that nobody can select by it.
func (m Message) encodeEnvelope(h map[string]any) {
	var env envelope
	if len(m.Event.Metadata) > 0 {
		_ = json.Unmarshal(m.Event.Metadata, &env) // a foreign envelope leaves zero values
	}
	h[HeaderTime] = env.OccurredAt
	if _, err := time.Parse(time.RFC3339Nano, env.OccurredAt); err != nil {
		h[HeaderTime] = m.Event.Created.UTC().Format(time.RFC3339Nano)
	}
	for _, property := range [...]struct{ name, value string }{
		{HeaderTraceparent, env.Traceparent}, {HeaderCountry, env.Country}, {HeaderChannel, env.Channel},
	} {
		if property.value != "" {
			h[property.name] = property.value
		}
	}
}

// text writes the vector as "cart=9 order=41", by category. One string costs the broker a fifth of all throughput less than a
// nested table of as many fields.
func (a After) text() string {
	var b []byte
	for _, c := range slices.Sorted(maps.Keys(a)) {
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, c...), '=')
		b = strconv.AppendUint(b, uint64(a[c]), 10)
	}
	return string(b)
}

// DecodeMessage reads what Encode wrote. Error: ErrMessage if it was somebody else's or is damaged.
func DecodeMessage(headers map[string]any, body []byte) (Message, error) {
	position, ok := headers[HeaderPosition].(int64)
	store, hasStore := headers[HeaderStore].(string)
	after, hasAfter := decodeAfter(headers[HeaderAfter])
	if !ok || !hasStore || !hasAfter || position < 0 {
		return Message{}, ErrMessage
	}
	m := Message{After: after, Store: StoreID(store)}
	m.Event.Position = Position(position)
	if _, isEvent := headers[HeaderRevision]; !isEvent {
		m.Watermark = true
		return m, nil
	}
	return m.decodeEvent(headers, body)
}

func (m Message) decodeEvent(headers map[string]any, body []byte) (Message, error) {
	id, err := uuid.Parse(ceAttribute(headers, "id"))
	revision, hasRevision := headers[HeaderRevision].(int64)
	created, hasCreated := headers[HeaderCreated].(int64)
	metadata, hasMetadata := headers[HeaderMetadata].(string)
	m.Omitted, _ = headers[HeaderOmitted].(bool)
	if err != nil || !hasRevision || !hasCreated || !hasMetadata && !m.Omitted {
		return Message{}, ErrMessage
	}
	m.Event = Recorded{
		Stream: Stream(ceAttribute(headers, "subject")), Type: ceAttribute(headers, "type"), Revision: Revision(revision), Position: m.Event.Position,
		ID: id, Data: body, Created: time.Unix(0, created).UTC(),
	}
	if !m.Omitted {
		m.Event.Metadata = []byte(metadata)
	}
	if !m.Event.Domain() {
		return Message{}, ErrMessage
	}
	return m, nil
}

// ceAttribute reads a CloudEvents attribute under any of the three prefixes that are about.
func ceAttribute(headers map[string]any, name string) string {
	for _, prefix := range [...]string{"cloudEvents:", "cloudEvents_", "ce-"} {
		if s, ok := headers[prefix+name].(string); ok {
			return s
		}
	}
	return ""
}

func decodeAfter(header any) (After, bool) {
	text, ok := header.(string)
	if !ok || len(text) > maxMessageName {
		return nil, false
	}
	a := After{}
	for pair := range strings.FieldsSeq(text) {
		category, position, ok := strings.Cut(pair, "=")
		p, err := strconv.ParseInt(position, 10, 64)
		if !ok || category == "" || err != nil || p < 0 {
			return nil, false
		}
		a[Category(category)] = Position(p)
	}
	return a, true
}
