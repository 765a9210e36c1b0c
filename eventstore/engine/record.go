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
//	the rest     flags and all that follows, as the event had it, but for metadata and data (stubOf)
const (
	kindEvent     = 1
	kindScavenged = 2
	flagJSON      = 1
	recordFixed   = 4 + 1 + 1 + 8 + 16
	stubKind      = 4 + 1
	stubFixed     = stubKind + 4
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

// stubOf returns what is left of an event when it is scavenged: what its links say (links.go). A deletion stays one, and a link keeps
// where it leads.
func stubOf(r *Record) Record {
	stub := *r
	stub.Metadata, stub.Data = nil, nil
	switch {
	case r.Type == MetadataType && deletes(r):
		stub.Data = truncated(nil, softDelete).Data
	case r.Type == linkType:
		stub.Data = r.Data
	}
	return stub
}

// encodeStub encodes what takes the place of r, whose record had the checksum was.
func encodeStub(r *Record, was uint32) []byte {
	stub := stubOf(r)
	full := make([]byte, recordLen(&stub))
	putRecord(full, &stub)
	b := append(make([]byte, 0, len(full)+4), 0, 0, 0, 0, kindScavenged)
	b = binary.LittleEndian.AppendUint32(b, was)
	b = append(b, full[stubKind:]...)
	binary.LittleEndian.PutUint32(b, recordSum(r.Position, b[4:]))
	return b
}

// originalSum returns the checksum of the event that stands, or stood, in a record. REQUIRES: the record was decoded.
func originalSum(b []byte) uint32 {
	if len(b) >= stubFixed && b[4] == kindScavenged {
		return binary.LittleEndian.Uint32(b[stubKind:])
	}
	return binary.LittleEndian.Uint32(b)
}

// decodeRecord checks and decodes the value stored at p; of a valid stub it returns what is left, with errScavenged. The record owns
// none of b: callers hand in memory that nobody else changes.
func decodeRecord(p Position, b []byte) (Record, error) {
	if len(b) < recordFixed {
		return Record{}, errRecord
	}
	if binary.LittleEndian.Uint32(b) != recordSum(p, b[4:]) {
		return Record{}, errors.New("checksum mismatch")
	}
	switch b[4] {
	case kindEvent:
		return decodeBody(p, b[stubKind:])
	case kindScavenged:
		r, err := decodeBody(p, b[stubFixed:])
		if err != nil {
			return Record{}, err
		}
		return r, errScavenged
	}
	return Record{}, errors.New("unknown kind of record")
}

// decodeBody decodes a record from its flags on.
func decodeBody(p Position, b []byte) (Record, error) {
	const fixed = recordFixed - stubKind
	if len(b) < fixed {
		return Record{}, errRecord
	}
	r := Record{Position: p, Created: Ticks(binary.LittleEndian.Uint64(b[1:]))}
	r.JSON = b[0]&flagJSON != 0
	r.ID = ID(b[9:25])
	d := decoder{rest: b[fixed:]}
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
