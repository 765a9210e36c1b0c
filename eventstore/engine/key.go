package engine

import (
	"encoding/binary"
)

// Kinds of keys, each with one byte in front and numbers in big-endian order, so that Pebble's byte order is ours:
//
//	'e' position                  -> record            the log: everything, once
//	'n' name of a stream          -> position           of the stream's first event; that number is the stream's id
//	's' stream id, revision       -> position, event id the stream: where its events are, and which
//	't' stream id                 -> revision           a scavenged stream: revisions below are gone
//	'm' name                      -> depends            what the engine keeps about itself
//
// A stream's id is the position of its first event: unique without a counter, and streams written lately are neighbours, so
// index writes stay nearly sequential. Nothing is ever overwritten, but by scavenging (scavenge.go). The event id stands in the index so that a repeated
// append is recognised without reading payloads.
const (
	keyEvent  = 'e'
	keyName   = 'n'
	keyStream = 's'
	keyKept   = 't'
	keyOwn    = 'm'

	eventKeyLen   = 1 + 8
	streamKeyLen  = 1 + 8 + 8
	streamValLen  = 8 + 16
	maxStreamName = 4096 // bytes
)

func appendEventKey(b []byte, p Position) []byte {
	return binary.BigEndian.AppendUint64(append(b, keyEvent), uint64(p))
}

func decodeEventKey(k []byte) (Position, bool) {
	if len(k) != eventKeyLen || k[0] != keyEvent {
		return 0, false
	}
	return Position(binary.BigEndian.Uint64(k[1:])), true
}

func appendNameKey(b []byte, stream string) []byte {
	return append(append(b, keyName), stream...)
}

func appendStreamKey(b []byte, id Position, r Revision) []byte {
	b = binary.BigEndian.AppendUint64(append(b, keyStream), uint64(id))
	return binary.BigEndian.AppendUint64(b, uint64(r))
}

func decodeStreamKey(k []byte) (id Position, r Revision, ok bool) {
	if len(k) != streamKeyLen || k[0] != keyStream {
		return 0, 0, false
	}
	return Position(binary.BigEndian.Uint64(k[1:])), Revision(binary.BigEndian.Uint64(k[9:])), true
}

func appendKeptKey(b []byte, id Position) []byte {
	return binary.BigEndian.AppendUint64(append(b, keyKept), uint64(id))
}

// entry is a line of a stream's index.
type entry struct {
	revision Revision
	position Position
	id       ID
}

func putStreamValue(b []byte, p Position, id ID) {
	binary.BigEndian.PutUint64(b, uint64(p))
	copy(b[8:], id[:])
}

func decodeEntry(key, value []byte) (entry, bool) {
	_, r, ok := decodeStreamKey(key)
	if !ok || len(value) != streamValLen {
		return entry{}, false
	}
	return entry{r, Position(binary.BigEndian.Uint64(value)), ID(value[8:])}, true
}
