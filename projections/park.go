package projections

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"time"
)

const insertParked = `INSERT INTO projections.parked
	(name, version, scope, key, position, stream, revision, event, type, data, metadata, created, code, cause, stack, attempts)
	SELECT $1, $2, u.* FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::uuid[], $9::text[],
		$10::bytea[], $11::bytea[], $12::timestamptz[], $13::text[], $14::text[], $15::text[], $16::int[]) AS u`

// queueParked writes what each member's work parks.
func queueParked(tx *pgx.Batch, members []*member, works []*work) {
	for i, m := range members {
		parked := works[i].newlyParked()
		if len(parked) == 0 {
			continue
		}
		n := len(parked)
		scopes, keys, positions, streams := make([]string, n), make([]string, n), make([]int64, n), make([]string, n)
		revisions, ids, types, created := make([]int64, n), make([]uuid.UUID, n), make([]string, n), make([]time.Time, n)
		data, metadata := make([][]byte, n), make([][]byte, n)
		codes, causes, stacks, attempts := make([]string, n), make([]string, n), make([]string, n), make([]int, n)
		for j, e := range parked {
			scopes[j], keys[j], positions[j], streams[j] = e.scope, e.key, int64(e.event.Position), string(e.event.Stream)
			revisions[j], ids[j], types[j], created[j] = int64(e.event.Revision), e.event.ID, e.event.Type, e.event.Created
			data[j], metadata[j] = notNull(e.event.Data), notNull(e.event.Metadata)
			codes[j], causes[j], stacks[j] = diagnosis(e.cause)
			if e.cause != nil {
				attempts[j] = 1
			}
		}
		tx.Queue(insertParked, m.name, m.version, scopes, keys, positions, streams, revisions, ids, types,
			data, metadata, created, codes, causes, stacks, attempts)
	}
}

func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
