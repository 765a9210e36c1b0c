package engine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Everything about links stands under one prefix, which can be deleted at any time: the next Open builds it again.
//
//	'l'                                        -> how far the log has been looked at
//	'l' length (2) link stream (*) revision (8) -> a block: positions of the log, the first of which the revision leads to
//
// The length in front keeps the links of one stream together whatever bytes the name has. A block holds what one look at the log
// found for a stream: one position when events come one by one, hundreds when the index is built from history.
const (
	keyLink     = 'l'
	linkVersion = 1 // of what is under the prefix; another one is built anew

	linkMarkLen  = 1 + 8 + 4
	linkBlockMin = 4 + 1 + 1
)

var errLinks = errors.New("malformed block of links")

// appendLinkPrefix appends what the keys of a link stream have in common.
func appendLinkPrefix(b []byte, stream string) []byte {
	b = binary.BigEndian.AppendUint16(append(b, keyLink), uint16(len(stream)))
	return append(b, stream...)
}

// linkRevision returns the revision in the key of a block. REQUIRES: the key has the prefix of a link stream.
func linkRevision(key []byte) Revision {
	return Revision(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// appendLinkBlock encodes positions, which rise, as the value of key: CRC-32C over the key and what follows the sum, their number, and
// each one's distance from the one before, as uvarints.
func appendLinkBlock(b, key []byte, positions []Position) []byte {
	start := len(b)
	b = binary.AppendUvarint(append(b, 0, 0, 0, 0), uint64(len(positions)))
	before := Position(0)
	for _, p := range positions {
		b = binary.AppendUvarint(b, uint64(p-before))
		before = p
	}
	binary.LittleEndian.PutUint32(b[start:], linkSum(key, b[start+4:]))
	return b
}

// decodeLinkBlock appends the positions of a block to into.
func decodeLinkBlock(into []Position, key, value []byte) ([]Position, error) {
	if len(value) < linkBlockMin || binary.LittleEndian.Uint32(value) != linkSum(key, value[4:]) {
		return nil, errLinks
	}
	d := decoder{rest: value[4:]}
	n := d.uvarint()
	if n == 0 || n > uint64(len(value)) {
		return nil, errLinks
	}
	p := Position(0)
	for range n {
		step := d.uvarint()
		if d.bad || step == 0 || p+Position(step) < p {
			return nil, errLinks
		}
		p += Position(step)
		into = append(into, p)
	}
	if len(d.rest) > 0 {
		return nil, errLinks
	}
	return into, nil
}

func linkSum(key, body []byte) uint32 {
	t := castagnoli()
	return crc32.Update(crc32.Update(0, t, key), t, body)
}

// appendLinkMark encodes how far the log has been looked at.
func appendLinkMark(b []byte, at Position) []byte {
	b = binary.BigEndian.AppendUint64(append(b, linkVersion), uint64(at))
	return binary.LittleEndian.AppendUint32(b, linkSum([]byte{keyLink}, b))
}

// decodeLinkMark is not ok for a mark that is damaged or of another version.
func decodeLinkMark(b []byte) (at Position, ok bool) {
	if len(b) != linkMarkLen || b[0] != linkVersion || binary.LittleEndian.Uint32(b[9:]) != linkSum([]byte{keyLink}, b[:9]) {
		return 0, false
	}
	return Position(binary.BigEndian.Uint64(b[1:])), true
}
