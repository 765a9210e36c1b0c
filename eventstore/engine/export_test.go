package engine

import "github.com/cockroachdb/pebble/v2"

// What tests outside the package need of its inside.
var (
	AppendEventKey  = appendEventKey
	AppendStreamKey = appendStreamKey
	DecodeRecord    = decodeRecord
	Judge           = judge
)

// StreamValueLen is the length of an index entry's value.
const StreamValueLen = streamValLen

// EncodeRecord encodes r as it is stored.
func EncodeRecord(r *Record) []byte {
	b := make([]byte, recordLen(r))
	putRecord(b, r)
	return b
}

// OpenBare opens a Pebble with the engine's own options, as the other side of a comparison.
func OpenBare(dir string) (*pebble.DB, error) {
	return pebble.Open(dir, pebbleOptions(Config{}.withDefaults()))
}
