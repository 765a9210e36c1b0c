package engine

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// The floor is a file beside the log that says where the log ended when it was last closed. A log never shrinks, so one that ends
// below its floor has lost its tail: Pebble can't tell a damaged last entry of its manifest or write-ahead log from one that was never
// finished, and would go on without it. Without a floor (the store was never closed) nothing is known.
const (
	floorName = "FLOOR"
	floorText = "position %d crc %08x\n"
)

func floorLine(p Position) string {
	return fmt.Sprintf(floorText, p, crc32.Checksum(fmt.Append(nil, p), castagnoli()))
}

// writeFloor records that the log reaches p.
func writeFloor(fsys vfs.FS, dir string, p Position) error {
	err := writeWhole(fsys, dir, floorName, floorLine(p))
	return fault.Wrap(err, fault.Unavailable, "STORE_CLOSE", "the event store is closed, but its floor can't be written")
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
		return corrupt(last+1, "the log ends here, but it reached position %d when it was closed", floor)
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
