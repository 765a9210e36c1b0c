package commands

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// snapshotType is the stored name of the events of a snapshot stream. They are no domain events: their category isn't registered.
const snapshotType = "annal.snapshot.v1"

const (
	partBytes = 512 << 10 // of one event's part of the body; two thirds of the store's limit once it is base64
	maxParts  = 16        // a state beyond 8 MiB, some 200,000 lines of one SKU, is folded whole
)

var (
	// errPassedOver is why a snapshot is not used. It never leaves this package.
	errPassedOver = fault.New(fault.Conflict, "SNAPSHOT_PASSED_OVER", "the snapshot is broken")
	errTooLong    = fault.New(fault.Exhausted, "SNAPSHOT_TOO_LARGE", "the state is too large for a snapshot")
)

// A snapshotHead says what a snapshot is of. It stands in each of its parts.
type snapshotHead struct {
	Stream   eventstore.Stream   `json:"stream"`
	Schema   int                 `json:"schema"`   // of the state's form
	Revision eventstore.Revision `json:"revision"` // of the last event that is in it
	Event    uuid.UUID           `json:"event"`    // id of that event
	Parts    int                 `json:"parts"`
}

// A snapshotPart is the data of one event of a snapshot stream.
type snapshotPart struct {
	snapshotHead
	Part int    `json:"part"` // from 1
	Sum  string `json:"sum"`  // SHA-256 of head and whole body
	Body []byte `json:"body"` // this part's piece of: length of the marks, marks, state
}

// A picture is a snapshot in one piece.
type picture struct {
	snapshotHead
	marks []byte // of heard
	state []byte // as the aggregate's codec wrote it
}

// encode returns the events of the snapshot, a part each. Fault: errTooLong.
func (p picture) encode() ([]eventstore.Event, error) {
	body := binary.AppendUvarint(make([]byte, 0, len(p.marks)+len(p.state)+10), uint64(len(p.marks)))
	body = append(append(body, p.marks...), p.state...)
	p.Parts = (len(body) + partBytes - 1) / partBytes
	if p.Parts > maxParts {
		return nil, errTooLong
	}
	sum := p.sum(body)
	events := make([]eventstore.Event, 0, p.Parts)
	for part := 1; part <= p.Parts; part++ {
		data, err := json.Marshal(snapshotPart{p.snapshotHead, part, sum, body[:min(partBytes, len(body))]})
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "SNAPSHOT_UNENCODABLE", "the snapshot can't be encoded")
		}
		body = body[min(partBytes, len(body)):]
		events = append(events, eventstore.Event{ID: eventstore.EventID(p.Event, part, data), Type: snapshotType, Data: data, Metadata: []byte("{}")})
	}
	return events, nil
}

// sum covers the head as well, so that no part of another snapshot is taken for one of this.
func (head snapshotHead) sum(body []byte) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(head) // strings and numbers into a hash: neither fails
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// decodeSnapshot puts the parts together, which are given newest first as the store reads them backwards. What is older than the
// newest snapshot's parts is left alone. Fault: errPassedOver, with the reason.
func decodeSnapshot(stream eventstore.Stream, schema int, newestFirst []eventstore.Recorded) (picture, error) {
	newest, err := decodePart(newestFirst[0])
	switch {
	case err != nil:
		return picture{}, err
	case newest.Stream != stream:
		return picture{}, errPassedOver.Because("the snapshot is of stream %s", newest.Stream)
	case newest.Schema != schema:
		return picture{}, errPassedOver.Because("the snapshot is of schema %d, this program's is %d", newest.Schema, schema)
	case newest.Parts < 1 || newest.Parts > len(newestFirst) || newest.Part != newest.Parts:
		return picture{}, errPassedOver.Because("the snapshot is not whole: its writer ended early")
	}
	pieces := make([][]byte, newest.Parts)
	for i, rec := range newestFirst[:newest.Parts] {
		part, err := decodePart(rec)
		if err != nil {
			return picture{}, err
		}
		if part.Sum != newest.Sum || part.Part != newest.Parts-i {
			return picture{}, errPassedOver.Because("the snapshot is not whole: its writer ended early")
		}
		pieces[part.Part-1] = part.Body
	}
	return newest.open(pieces)
}

func decodePart(rec eventstore.Recorded) (snapshotPart, error) {
	var part snapshotPart
	if rec.Type != snapshotType || json.Unmarshal(rec.Data, &part) != nil {
		return part, errPassedOver
	}
	return part, nil
}

// open checks the sum and cuts the body.
func (part snapshotPart) open(pieces [][]byte) (picture, error) {
	body := pieces[0]
	for _, piece := range pieces[1:] {
		body = append(body, piece...)
	}
	if part.sum(body) != part.Sum {
		return picture{}, errPassedOver.Because("the snapshot's checksum is wrong")
	}
	length, n := binary.Uvarint(body)
	if n <= 0 || length > uint64(len(body)-n) || length != 4*uint64(part.Revision+1) { //nolint:gosec // a negative revision is a length that nothing has
		return picture{}, errPassedOver
	}
	rest := body[n:]
	return picture{part.snapshotHead, rest[:length], rest[length:]}, nil
}
