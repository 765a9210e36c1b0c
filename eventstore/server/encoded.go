package server

import (
	"encoding/binary"
	"strconv"

	"github.com/google/uuid"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/annalhq/annal/eventstore/engine"
)

// Catching up sends the same message again and again: an event. Made of protobuf's structs it takes a dozen allocations and a walk by
// reflection over a map; written straight from the record it takes one. Everything else goes the usual way, and a test holds both forms
// together (FuzzTheShortWay).

// wireCodec is protobuf's codec, which also takes messages that are encoded already.
type wireCodec struct{ encoding.CodecV2 }

func newWireCodec() wireCodec { return wireCodec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal encodes v.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(wireMessage); ok {
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// wireMessage is an encoded message.
type wireMessage []byte

// Field numbers of streams.proto and shared.proto.
const (
	readRespEvent          = 1
	readEventEvent         = 1
	readEventCommit        = 3
	recordedID             = 1
	recordedStream         = 2
	recordedRevision       = 3
	recordedPrepare        = 4
	recordedCommit         = 5
	recordedMetadata       = 6
	recordedCustomMetadata = 7
	recordedData           = 8
	uuidStructured         = 1
	uuidString             = 2
	structuredMost         = 1
	structuredLeast        = 2
	streamName             = 3
	mapKey                 = 1
	mapValue               = 2
)

// encoded is event, encoded.
func (e encoder) encoded(r *engine.Record) wireMessage {
	var scratch [2]scratch
	id := e.appendID(scratch[0][:0], r.ID)
	created := strconv.AppendInt(scratch[1][:0], int64(r.Created), 10)
	content := contentBytes
	if r.JSON {
		content = contentJSON
	}
	recorded := sizeBytes(len(id)) + sizeBytes(sizeOptional(len(r.Stream))) +
		sizeUint(uint64(r.Revision)) + 2*sizeUint(uint64(r.Position)) +
		sizeEntry("type", len(r.Type)) + sizeEntry("content-type", len(content)) + sizeEntry("created", len(created)) +
		sizeOptional(len(r.Metadata)) + sizeOptional(len(r.Data))
	event := sizeBytes(recorded) + 1 + protowire.SizeVarint(uint64(r.Position))
	b := make([]byte, 0, sizeBytes(event))
	b = appendLength(b, readRespEvent, event)
	b = appendLength(b, readEventEvent, recorded)
	b = append(appendLength(b, recordedID, len(id)), id...)
	b = appendLength(b, recordedStream, sizeOptional(len(r.Stream)))
	if r.Stream != "" {
		b = append(appendLength(b, streamName, len(r.Stream)), r.Stream...)
	}
	b = appendUint(b, recordedRevision, uint64(r.Revision))
	b = appendUint(b, recordedPrepare, uint64(r.Position))
	b = appendUint(b, recordedCommit, uint64(r.Position))
	b = append(appendEntry(b, "type", len(r.Type)), r.Type...)
	b = append(appendEntry(b, "content-type", len(content)), content...)
	b = append(appendEntry(b, "created", len(created)), created...) // the Go client ends its process if this is not an integer
	b = appendOptional(b, recordedCustomMetadata, r.Metadata)
	b = appendOptional(b, recordedData, r.Data)
	return protowire.AppendVarint(protowire.AppendTag(b, readEventCommit, protowire.VarintType), uint64(r.Position))
}

type scratch [48]byte

func (e encoder) appendID(b []byte, id engine.ID) []byte {
	if e.textIDs {
		b = appendLength(b, uuidString, 36)
		return append(b, uuid.UUID(id).String()...)
	}
	most, least := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	b = appendLength(b, uuidStructured, sizeUint(most)+sizeUint(least))
	return appendUint(appendUint(b, structuredMost, most), structuredLeast, least)
}

// All fields here have numbers below 16: a tag is one byte.

func sizeBytes(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeOptional(n int) int {
	if n == 0 {
		return 0
	}
	return sizeBytes(n)
}

func sizeUint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeEntry(key string, value int) int {
	return sizeBytes(sizeBytes(len(key)) + sizeBytes(value))
}

func appendLength(b []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n))
}

func appendOptional(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendLength(b, field, len(v)), v...)
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// appendEntry appends an entry of the metadata map up to its value of so many bytes, which the caller appends.
func appendEntry(b []byte, key string, value int) []byte {
	b = appendLength(b, recordedMetadata, sizeBytes(len(key))+sizeBytes(value))
	b = append(appendLength(b, mapKey, len(key)), key...)
	return appendLength(b, mapValue, value)
}
