package engine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record is the value under an event's key:
//
//	crc32c    4  little-endian, over the position (8, big-endian) and everything that follows
//	kind      1  1 = event, 2 = scavenged (below); others are for later formats and are refused
//	flags     1  bit 0: the data is JSON
//	created   8  100 ns since 1970, little-endian
//	id       16
//	revision     uvarint
//	rest         uvarint, events of the same append that follow
//	stream       uvarint length, bytes
//	type         uvarint length, bytes
//	metadata     uvarint length, bytes
//	data         what is left
//
// The position is under the checksum, so a record that strayed to another key is noticed.
//
// Scavenging puts a stub in a record's place, so that the log keeps a record for every position and a hole stays damage:
//
//	crc32c    4  as above
//	kind      1  2
//	was       4  the checksum of the event that stood here, little-endian: one log is told from another by them
//	rest         uvarint, as the event had it
const (
	kindEvent     = 1
	kindScavenged = 2
	flagJSON      = 1
	recordFixed   = 4 + 1 + 1 + 8 + 16
	stubFixed     = 4 + 1 + 4
)

var (
	errRecord    = errors.New("malformed record")
	errScavenged = errors.New("the event was scavenged") // of a valid stub
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // the library keeps one table

func recordSum(p Position, body []byte) uint32 {
	var pos [8]byte
	binary.BigEndian.PutUint64(pos[:], uint64(p))
	t := castagnoli()
	return crc32.Update(crc32.Update(0, t, pos[:]), t, body)
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

func recordLen(r *Record) int {
	return recordFixed + uvarintLen(uint64(r.Revision)) + uvarintLen(r.Rest) +
		uvarintLen(uint64(len(r.Stream))) + len(r.Stream) +
		uvarintLen(uint64(len(r.Type))) + len(r.Type) +
		uvarintLen(uint64(len(r.Metadata))) + len(r.Metadata) + len(r.Data)
}

// putRecord encodes r into b, which has recordLen(r) bytes.
func putRecord(b []byte, r *Record) {
	b[4] = kindEvent
	b[5] = 0
	if r.JSON {
		b[5] = flagJSON
	}
	binary.LittleEndian.PutUint64(b[6:], uint64(r.Created))
	copy(b[14:], r.ID[:])
	w := b[:recordFixed]
	w = binary.AppendUvarint(w, uint64(r.Revision))
	w = binary.AppendUvarint(w, r.Rest)
	w = append(binary.AppendUvarint(w, uint64(len(r.Stream))), r.Stream...)
	w = append(binary.AppendUvarint(w, uint64(len(r.Type))), r.Type...)
	w = append(binary.AppendUvarint(w, uint64(len(r.Metadata))), r.Metadata...)
	_ = append(w, r.Data...)
	binary.LittleEndian.PutUint32(b, recordSum(r.Position, b[4:]))
}

// appendStub encodes what takes the place of an event whose record had the checksum was.
func appendStub(b []byte, p Position, was uint32, rest uint64) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, kindScavenged)
	b = binary.LittleEndian.AppendUint32(b, was)
	b = binary.AppendUvarint(b, rest)
	binary.LittleEndian.PutUint32(b[at:], recordSum(p, b[at+4:]))
	return b
}

// decodeStub returns what a stub keeps; ok is false for whatever is none. REQUIRES: the checksum was verified.
func decodeStub(b []byte) (was uint32, rest uint64, ok bool) {
	if len(b) <= stubFixed || b[4] != kindScavenged {
		return 0, 0, false
	}
	rest, n := binary.Uvarint(b[stubFixed:])
	return binary.LittleEndian.Uint32(b[5:]), rest, n == len(b)-stubFixed
}

// originalSum returns the checksum of the event that stands, or stood, in a record. REQUIRES: as decodeStub.
func originalSum(b []byte) uint32 {
	if was, _, ok := decodeStub(b); ok {
		return was
	}
	return binary.LittleEndian.Uint32(b)
}

// decodeRecord checks and decodes the value stored at p; a valid stub gives errScavenged. The record owns none of b: callers hand in
// memory that nobody else changes.
func decodeRecord(p Position, b []byte) (Record, error) {
	if len(b) <= stubFixed {
		return Record{}, errRecord
	}
	if binary.LittleEndian.Uint32(b) != recordSum(p, b[4:]) {
		return Record{}, errors.New("checksum mismatch")
	}
	if _, _, ok := decodeStub(b); ok {
		return Record{}, errScavenged
	}
	if len(b) < recordFixed {
		return Record{}, errRecord
	}
	if b[4] != kindEvent {
		return Record{}, errors.New("unknown kind of record")
	}
	r := Record{Position: p, Created: Ticks(binary.LittleEndian.Uint64(b[6:]))}
	r.JSON = b[5]&flagJSON != 0
	r.ID = ID(b[14:30])
	d := decoder{rest: b[recordFixed:]}
	r.Revision = Revision(d.uvarint())
	r.Rest = d.uvarint()
	r.Stream = string(d.bytes())
	r.Type = string(d.bytes())
	r.Metadata = d.bytes()
	r.Data = d.rest
	if d.bad {
		return Record{}, errRecord
	}
	return r, nil
}

// decoder reads length-prefixed fields and remembers whether one was out of bounds.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	f := d.rest[:n:n]
	d.rest = d.rest[n:]
	return f
}
