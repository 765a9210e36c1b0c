package server

import (
	"encoding/binary"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
)

const (
	contentJSON  = "application/json"
	contentBytes = "application/octet-stream"
)

func streamIdentifier(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

// structuredID is the form with two signed halves: RFC 9562 byte order, big-endian.
func structuredID(id engine.ID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func textID(id engine.ID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: uuid.UUID(id).String()}}
}

// parseID takes both forms; a missing or zero id is not ok.
func parseID(u *shared.UUID) (id engine.ID, ok bool) {
	switch v := u.GetValue().(type) {
	case *shared.UUID_Structured_:
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
	case *shared.UUID_String_:
		parsed, err := uuid.Parse(v.String_)
		if err != nil {
			return id, false
		}
		id = engine.ID(parsed)
	}
	return id, id != (engine.ID{})
}

// encoder makes messages out of records in the form that one call asked for.
type encoder struct {
	textIDs bool
}

func (e encoder) recorded(r *engine.Record) *streams.ReadResp_ReadEvent_RecordedEvent {
	id := structuredID
	if e.textIDs {
		id = textID
	}
	content := contentBytes
	if r.JSON {
		content = contentJSON
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               id(r.ID),
		StreamIdentifier: streamIdentifier(r.Stream),
		StreamRevision:   uint64(r.Revision),
		PreparePosition:  uint64(r.Position),
		CommitPosition:   uint64(r.Position),
		Metadata: map[string]string{
			"type":         r.Type,
			"content-type": content,
			// The Go client ends its process if this is not an integer.
			"created": strconv.FormatInt(int64(r.Created), 10),
		},
		CustomMetadata: r.Metadata,
		Data:           r.Data,
	}
}

// event encodes a record that is no link, or a link that isn't followed.
func (e encoder) event(r *engine.Record) *streams.ReadResp {
	return readEvent(&streams.ReadResp_ReadEvent{Event: e.recorded(r)}, r.Position)
}

// resolved encodes a link with its target, which is nil if it is gone.
func (e encoder) resolved(link, target *engine.Record) *streams.ReadResp {
	event := &streams.ReadResp_ReadEvent{Link: e.recorded(link)}
	if target != nil {
		event.Event = e.recorded(target)
	}
	return readEvent(event, link.Position)
}

func readEvent(event *streams.ReadResp_ReadEvent, p engine.Position) *streams.ReadResp {
	event.Position = &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(p)}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: event}}
}

func confirmation(id string) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: id},
	}}
}

func checkpoint(p engine.Position) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: uint64(p), PreparePosition: uint64(p)},
	}}
}

func caughtUp() *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}
}

func streamNotFound(stream string) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: streamIdentifier(stream)},
	}}
}
