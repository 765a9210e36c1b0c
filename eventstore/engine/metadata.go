package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Limits is the part of a stream's metadata that the engine acts on, when a stream is read. 0 means no limit.
type Limits struct {
	TruncateBefore Revision // "$tb": events before it are hidden
	MaxCount       uint64   // "$maxCount": only the last so many are shown
	MaxAge         time.Duration
}

// SoftDeleted reports whether the metadata says that the stream was deleted.
func (l Limits) SoftDeleted() bool { return l.TruncateBefore == softDelete }

// firstReadable returns the first revision that the limits let through in a stream that ends at last.
func (l Limits) firstReadable(last Revision) Revision {
	first := l.TruncateBefore
	if l.MaxCount > 0 && uint64(last) >= l.MaxCount {
		first = max(first, last-Revision(l.MaxCount)+1)
	}
	return first
}

// softDelete as "$tb" means that the stream was deleted and may be written again.
const softDelete Revision = math.MaxInt64

const truncateKey = "$tb"

// parseLimits reads the metadata event e. What is no metadata, no JSON object, or has a limit of the wrong type has no limits.
func parseLimits(e *Event) Limits {
	if e.Type != MetadataType {
		return Limits{}
	}
	var keys map[string]json.RawMessage // not a struct: that would take "$MAXCOUNT" for "$maxCount"
	if json.Unmarshal(e.Data, &keys) != nil {
		return Limits{}
	}
	var m struct{ TruncateBefore, MaxCount, MaxAge *int64 }
	for name, to := range map[string]**int64{truncateKey: &m.TruncateBefore, "$maxCount": &m.MaxCount, "$maxAge": &m.MaxAge} {
		if raw, ok := keys[name]; ok && json.Unmarshal(raw, to) != nil {
			return Limits{}
		}
	}
	var l Limits
	if m.TruncateBefore != nil {
		if *m.TruncateBefore < 0 {
			return Limits{}
		}
		l.TruncateBefore = Revision(*m.TruncateBefore)
	}
	if m.MaxCount != nil {
		if *m.MaxCount <= 0 {
			return Limits{}
		}
		l.MaxCount = uint64(*m.MaxCount)
	}
	if m.MaxAge != nil {
		if *m.MaxAge <= 0 {
			return Limits{}
		}
		l.MaxAge = time.Duration(min(*m.MaxAge, int64(math.MaxInt64/time.Second))) * time.Second
	}
	return l
}

// truncated returns the metadata in previous with "$tb" set to r and everything else kept.
func truncated(previous []byte, r Revision) *Event {
	keys := map[string]json.RawMessage{}
	if json.Unmarshal(previous, &keys) != nil || keys == nil {
		keys = map[string]json.RawMessage{}
	}
	keys[truncateKey] = strconv.AppendUint(nil, uint64(r), 10)
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(keys); err != nil { // it was valid JSON a moment ago
		data.Reset()
		data.WriteString(`{"$tb":` + strconv.FormatUint(uint64(r), 10) + `}`)
	}
	return &Event{ID: newID(), Type: MetadataType, JSON: true, Data: bytes.TrimSpace(data.Bytes())}
}

// newID draws a random UUID (RFC 9562, version 4).
func newID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails: it ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (db *DB) limitsAt(p Position) (Limits, error) {
	r, err := db.record(p)
	if err != nil {
		return Limits{}, err
	}
	return parseLimits(&r.Event), nil
}
