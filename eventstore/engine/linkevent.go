package engine

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// linkSpace is the name space of the ids of links (RFC 9562, 5.5).
const linkSpace = "b7d5c5a2-6f0e-5c4b-9d0a-3f1c52a8e6d4"

// link makes the event at revision r of a link stream: it points to target, or to what target points to if that is itself a link. It
// has the target's position and time, since it has none of its own in the log.
func link(stream string, r Revision, target *Record) Record {
	e := Event{ID: linkID(stream, r, target.ID), Type: linkType, Metadata: linkMetadata(stream, target)}
	switch {
	case strings.HasPrefix(stream, categoryStreamsPrefix):
		e.Type, e.Data = referenceType, []byte(target.Stream)
	case target.Type == linkType && strings.HasPrefix(stream, categoryPrefix):
		e.Data = append([]byte(nil), target.Data...)
	default:
		e.Data = append(strconv.AppendUint(nil, uint64(target.Revision), 10), "@"+target.Stream...)
	}
	return Record{Position: target.Position, Stream: stream, Revision: r, Created: target.Created, Event: e}
}

// linkID is the same whenever the index is built.
func linkID(stream string, r Revision, target ID) ID {
	name := append(strconv.AppendUint([]byte(stream+"@"), uint64(r), 10), target[:]...)
	return ID(uuid.NewSHA1(uuid.MustParse(linkSpace), name))
}

// linkMetadata says what EventStoreDB's projections say of a link: version, position and id of the event that caused it, the stream
// it comes from for links by category, and -1 for a deletion.
func linkMetadata(stream string, target *Record) []byte {
	m := struct {
		Version  string    `json:"$v"`
		Commit   Position  `json:"$c"`
		Prepare  Position  `json:"$p"`
		CausedBy uuid.UUID `json:"$causedBy"`
		Origin   string    `json:"$o,omitempty"`
		Deleted  int       `json:"$deleted,omitempty"`
	}{"1:-1:1:4", target.Position, target.Position, uuid.UUID(target.ID), "", 0}
	if strings.HasPrefix(stream, categoryPrefix) {
		m.Origin = target.Stream
	}
	if deletes(target) {
		m.Deleted = -1
	}
	text, err := json.Marshal(m)
	if err != nil { // there is nothing in it that can't be said in JSON
		return nil
	}
	return text
}
