package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// The directory holds a marker that says whose it is and in which format, and Pebble's files in a folder of their own.
const (
	markerName  = "ANNAL-EVENTSTORE"
	draftSuffix = ".new"
	storeFolder = "log"
	markerText  = "annal event store, format %d\n"

	formatFirst     = 1 // what a new store has
	formatScavenged = 2 // may have stubs and 't' keys; a store gets it when something is scavenged for the first time
	formatNewest    = formatScavenged
)

// claim makes sure that dir is an event store's, marks it if it is empty and may become one, and returns the folder for Pebble.
func claim(fsys vfs.FS, dir string, create bool) (string, error) {
	names, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store's directory can't be read")
	}
	marked, strangers, restoring := false, 0, false
	for _, name := range names {
		switch name {
		case markerName:
			marked = true
		case markerName + draftSuffix, "lost+found": // an interrupted first start; the root of a file system
		case restoringName:
			restoring = true
		default:
			strangers++
		}
	}
	if marked {
		err = checkMarker(fsys, fsys.PathJoin(dir, markerName))
	} else if restoring {
		return "", ErrForeignDirectory.Because("%s holds a restore that was not finished; remove the directory and restore again", dir)
	} else if strangers > 0 {
		return "", ErrForeignDirectory.Because("%s holds other files; give the event store an empty directory", dir)
	} else if !create {
		return "", fault.Newf(fault.Missing, "STORE_MISSING", "%s holds no event store", dir)
	} else {
		err = fault.Wrap(mark(fsys, dir), fault.Unavailable, "STORE_OPEN", "the event store's directory can't be written")
	}
	return fsys.PathJoin(dir, storeFolder), err
}

func checkMarker(fsys vfs.FS, path string) error {
	_, err := readMarker(fsys, path)
	return err
}

// readMarker returns the store's format, if this program knows it.
func readMarker(fsys vfs.FS, path string) (version int, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store's marker can't be read")
	}
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "STORE_OPEN", "the event store's marker can't be read")
	}
	if _, err := fmt.Sscanf(strings.TrimSpace(string(text)), strings.TrimSpace(markerText), &version); err != nil || version < formatFirst {
		return 0, ErrCorrupt.Because("the marker %s is damaged; its text should be %q", path, fmt.Sprintf(markerText, formatFirst))
	}
	if version > formatNewest {
		return 0, ErrNewerFormat.Because("the event store has format %d, this program knows %d; use a newer one", version, formatNewest)
	}
	return version, nil
}

// upgrade raises the number in the marker, durably. REQUIRES: one caller at a time.
func upgrade(fsys vfs.FS, dir string, to int) error {
	version, err := readMarker(fsys, fsys.PathJoin(dir, markerName))
	if err != nil || version >= to {
		return err
	}
	err = writeWhole(fsys, dir, markerName, fmt.Sprintf(markerText, to))
	return fault.Wrap(err, fault.Unavailable, "STORE_UPGRADE", "the event store's marker can't be written")
}

func mark(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := writeWhole(fsys, dir, markerName, fmt.Sprintf(markerText, formatFirst)); err != nil {
		return err
	}
	return syncDir(fsys, fsys.PathDir(dir))
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
