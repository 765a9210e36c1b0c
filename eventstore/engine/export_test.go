package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

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

// Work returns how often the log was flushed and compacted since it was opened.
func Work(db *DB) (flushes, compactions int64) {
	m := db.pebble.Metrics()
	return m.Flush.Count, m.Compact.Count
}

// Blocks returns how many blocks of tables were looked at since the log was opened, in the cache or on the disk.
func Blocks(db *DB) int64 {
	m := db.pebble.Metrics()
	return m.BlockCache.Hits + m.BlockCache.Misses
}

// Flush moves what is in the write-ahead log into a table.
func Flush(t testing.TB, db *DB) {
	t.Helper()
	if err := db.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
}

// RaiseFloor does at once what otherwise happens within Config.FloorEvery.
func RaiseFloor(db *DB) { db.raiseFloor() }

// Pebble is what a test plants damage in.
func (db *DB) Pebble() *pebble.DB { return db.pebble }

// WithoutLinks switches the link streams off.
func WithoutLinks(cfg Config) Config {
	cfg.noLinks = true
	return cfg
}

// What tests of link streams need.
var (
	AppendLinkPrefix = appendLinkPrefix
	AppendLinkBlock  = appendLinkBlock
	DecodeLinkBlock  = decodeLinkBlock
	AppendLinkMark   = appendLinkMark
)

// LimitNames makes the filters of names give up earlier.
func LimitNames(cfg Config, names int) Config {
	cfg.names = names
	return cfg
}

// Filtered waits until the names of the log have been read, and reports whether the filter of streams that are there says "no" to others.
func Filtered(db *DB) bool {
	db.loading.Wait()
	return !db.known.vague.Load()
}
