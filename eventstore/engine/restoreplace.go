package engine

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// ErrRestorePlace is the answer to a restore into a store or into a backup: it would become part of what a scavenge, a copy or a deletion of
// the other takes along.
var ErrRestorePlace = fault.New(fault.Invalid, "RESTORE_PLACE", "a backup can't be restored inside a store or a backup; name a directory outside")

// checkPlace refuses a directory that is not empty, or lies within a store or a backup.
func checkPlace(fsys vfs.FS, dir string) error {
	if err := checkEmpty(fsys, dir); err != nil {
		return err
	}
	at, err := realPath(fsys, dir)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "RESTORE_READ", "the directory can't be read")
	}
	for up := fsys.PathDir(at); up != at; at, up = up, fsys.PathDir(up) {
		if what := taken(fsys, up); what != "" {
			return ErrRestorePlace.Because("%s lies within %s in %s; name a directory outside", dir, what, up)
		}
	}
	return nil
}

// taken says what a directory is that nothing may be restored into; "" for any other.
func taken(fsys vfs.FS, dir string) string {
	is := func(names ...string) bool {
		_, err := fsys.Stat(fsys.PathJoin(append([]string{dir}, names...)...))
		return err == nil
	}
	switch {
	case is(markerName):
		return "the event store"
	case is(restoringName):
		return "an unfinished restore"
	case is(manifestName) && is(backupStore, markerName):
		return "the backup"
	}
	return ""
}

// realPath follows symbolic links in what is there of a path.
func realPath(fsys vfs.FS, dir string) (string, error) {
	if fsys != vfs.Default {
		return dir, nil
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for there, rest := full, ""; ; {
		switch real, err := filepath.EvalSymlinks(there); {
		case err == nil:
			return filepath.Join(real, rest), nil
		case !errors.Is(err, fs.ErrNotExist) || there == filepath.Dir(there):
			return "", err
		}
		there, rest = filepath.Dir(there), filepath.Join(filepath.Base(there), rest)
	}
}

func checkEmpty(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, fault.Unavailable, "RESTORE_READ", "the directory can't be read")
	}
	if slices.Contains(names, restoringName) {
		return ErrNotEmpty.Because("%s holds a restore that was not finished; remove the directory and restore again", dir)
	}
	for _, name := range names {
		if name != "lost+found" {
			return ErrNotEmpty.Because("%s is not empty; name another directory, or move what is in it away", dir)
		}
	}
	return nil
}

// checkRestoreRoom looks before copying begins, as far as the file system can tell.
func checkRestoreRoom(fsys vfs.FS, dir string, bytes uint64) error {
	usage, err := fsys.GetDiskUsage(dir)
	if need := bytes + roomToOpen; err == nil && usage.AvailBytes < need {
		return ErrDiskFull.Because("the disk is too full to restore into %s: it takes %d MiB, %d MiB are free; make room, or name a directory on another disk, and restore again",
			dir, need>>20+1, usage.AvailBytes>>20)
	}
	return nil
}

// restoreFault classifies what ended a restore.
func restoreFault(err error, dir string) error {
	if diskFull(err) {
		return fault.Wrap(err, ErrDiskFull.Kind, ErrDiskFull.Code, "the disk is full: "+dir+" has no room for the restore, and is left empty; make room, or name a directory on another disk, and restore again")
	}
	return fault.Wrap(err, fault.Unavailable, "RESTORE_WRITE", "the store can't be written")
}
