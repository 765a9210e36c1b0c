package engine

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// linkSpace is the name space of the ids of links (RFC 9562, 5.5).
var linkSpace = uuid.MustParse("b7d5c5a2-6f0e-5c4b-9d0a-3f1c52a8e6d4")

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
	return ID(uuid.NewSHA1(linkSpace, name))
}

// linkMetadata says what EventStoreDB's projections say of a link: version, position and id of the event that caused it, the stream
// it comes from for links by category, and -1 for a deletion.
func linkMetadata(stream string, target *Record) []byte {
	const most = len(`{"$v":"1:-1:1:4","$c":,"$p":,"$causedBy":"","$o":"","$deleted":-1}`) + 2*20 + 36
	m := append(make([]byte, 0, most+len(target.Stream)), `{"$v":"1:-1:1:4","$c":`...)
	m = strconv.AppendUint(m, uint64(target.Position), 10)
	m = append(m, `,"$p":`...)
	m = strconv.AppendUint(m, uint64(target.Position), 10)
	m = append(m, `,"$causedBy":"`...)
	m = append(m, uuid.UUID(target.ID).String()...)
	m = append(m, '"')
	if strings.HasPrefix(stream, categoryPrefix) {
		m = append(m, `,"$o":`...)
		m = appendJSON(m, target.Stream)
	}
	if deletes(target) {
		m = append(m, `,"$deleted":-1`...)
	}
	return append(m, '}')
}

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // every string can be said in JSON
		return append(b, `""`...)
	}
	return append(b, text...)
}
