package engine

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// The floor is a file beside the log that says how far the log surely reached: when it was last closed, and while it grows, at most
// Config.FloorEvery ago. A log never shrinks, so one that ends below its floor has lost its tail. Pebble can't tell damage from a write
// that was never finished if it is in the manifest's last entry or in the last 32 KiB of the write-ahead log, and would go on without what
// follows. Without a floor nothing is known.
const (
	floorName = "FLOOR"
	floorText = "position %d crc %08x\n"
)

// floorKeeper raises the floor some time after the log has grown, beside the appends and not on their way. It has no goroutine while
// nothing is written.
type floorKeeper struct {
	due atomic.Bool // the timer runs

	mu      sync.Mutex // held while the file is written
	timer   *time.Timer
	stopped bool
}

// grown makes sure that the floor is raised soon.
func (db *DB) grown() {
	if db.floor.due.Load() || db.floor.due.Swap(true) {
		return
	}
	db.floor.mu.Lock()
	defer db.floor.mu.Unlock()
	if !db.floor.stopped {
		db.floor.timer = time.AfterFunc(db.cfg.FloorEvery, db.raiseFloor)
	}
}

// raiseFloor writes the floor of this moment. If it can't, the old one stands, which is no less true.
func (db *DB) raiseFloor() {
	db.floor.mu.Lock()
	defer db.floor.mu.Unlock()
	if db.floor.stopped {
		return
	}
	db.floor.due.Store(false) // what becomes visible from here on asks again
	if err := writeFloor(db.cfg.FS, db.dir, db.Last()); err != nil {
		db.cfg.Logger.Error("event store: the log's floor was not raised", "error", err)
	}
}

// stop waits for a raise in progress and prevents later ones.
func (f *floorKeeper) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.timer != nil {
		f.timer.Stop()
	}
}

func floorLine(p Position) string {
	return fmt.Sprintf(floorText, p, crc32.Checksum(fmt.Append(nil, p), castagnoli()))
}

// writeFloor records that the log reaches p.
func writeFloor(fsys vfs.FS, dir string, p Position) error {
	err := writeWhole(fsys, dir, floorName, floorLine(p))
	return fault.Wrap(err, fault.Unavailable, "STORE_FLOOR", "the event store's floor can't be written; its events are safe")
}

// checkFloor refuses a log that ends at last, below its floor.
func checkFloor(fsys vfs.FS, dir string, last Position) error {
	f, err := fsys.Open(fsys.PathJoin(dir, floorName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store's floor can't be read")
	}
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err = errors.Join(err, f.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store's floor can't be read")
	}
	var floor Position
	var sum uint32
	if _, err := fmt.Sscanf(strings.TrimSpace(string(text)), strings.TrimSpace(floorText), &floor, &sum); err != nil || floorLine(floor) != string(text) {
		return ErrCorrupt.Because("the event store's file %s is damaged", floorName)
	}
	if last < floor {
		return corrupt(last+1, "the log ends here, but it had reached position %d", floor)
	}
	return nil
}

// writeWhole writes a small file so that it is there whole or not at all, whenever the power goes.
func writeWhole(fsys vfs.FS, dir, name, text string) error {
	draft := fsys.PathJoin(dir, name+draftSuffix)
	f, err := fsys.Create(draft, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(draft, fsys.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}
