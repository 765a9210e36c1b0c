package engine

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// complaintPause is the shortest time between two log lines about background work: Pebble tries again at once, thousands of times a second.
const complaintPause = time.Second

// complaints logs what Pebble finds wrong by itself. Damage found by a reader is the reader's error, not the end of the process:
// what isn't damaged stays readable.
//
// A disk without room for a table is borne as long as it costs readers nothing and appends find a place in memory; then the process ends
// (docs/eventstore-format.md says how to make room): Pebble would wait for ever, and the append with it.
func complaints(log *slog.Logger, fatal func(error)) *pebble.EventListener {
	var stalled atomic.Bool
	var last atomic.Int64 // unix nanoseconds of the last line
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if diskFull(err) && stalled.Load() {
				fatal(fmt.Errorf("the disk is full: %w", err))
				return
			}
			now := time.Now().UnixNano()
			if before := last.Load(); now-before > int64(complaintPause) && last.CompareAndSwap(before, now) {
				log.Error("event store: background work failed", "error", err)
			}
		},
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { stalled.Store(true) },
		WriteStallEnd:   func() { stalled.Store(false) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("event store: a file is damaged; restore it from a backup", "file", info.Path, "error", info.Details)
		},
	}
}
