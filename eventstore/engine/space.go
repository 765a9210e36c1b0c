package engine

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// A log that fills its disk ends its process, and can't be opened again before somebody makes room. So appends are refused while a
// reserve is still free: what was accepted can be moved into tables, readers are served, and a scavenge has room to work in. When there is
// space again appends are accepted again, by themselves.

const (
	defaultReserve = 256 << 20
	spaceLooked    = 100 * time.Millisecond // how old a look at the disk may be
)

// ErrDiskLow is the answer to an append while less than Config.ReserveBytes is free.
var ErrDiskLow = fault.New(fault.Exhausted, "STORE_DISK_LOW", "the event store's disk is nearly full: appends are refused until there is space, reads go on")

// space is the leader's view of the disk.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64 // bytes; 0: appends are never refused
	looked  time.Time
	refusal error
}

// check returns ErrDiskLow if the disk is nearly full. A file system that can't tell is taken for one with room.
func (s *space) check() error {
	if s.reserve == 0 || time.Since(s.looked) < spaceLooked {
		return s.refusal
	}
	s.looked = time.Now()
	s.refusal = lowSpace(s.fs, s.dir, s.reserve)
	return s.refusal
}

func lowSpace(fs vfs.FS, dir string, reserve uint64) error {
	usage, err := fs.GetDiskUsage(dir)
	if err != nil || usage.AvailBytes >= reserve {
		return nil
	}
	return ErrDiskLow.Because("the event store's disk is nearly full (%d MiB free, %d MiB are kept free): appends are refused until there is space, reads go on",
		usage.AvailBytes>>20, reserve>>20)
}

// Space says how much is free on the store's disk.
type Space struct {
	Free    uint64 // bytes; 0 if the file system can't tell
	Reserve uint64 // bytes below which appends are refused
	Known   bool
}

// Space looks at the disk.
func (db *DB) Space() Space {
	usage, err := db.cfg.FS.GetDiskUsage(db.dir)
	return Space{Free: usage.AvailBytes, Reserve: db.cfg.reserve(), Known: err == nil}
}

// CheckSpace returns ErrDiskLow if appends are refused, for those who tell whether the store is healthy.
func (db *DB) CheckSpace() error {
	if db.cfg.reserve() == 0 {
		return nil
	}
	return lowSpace(db.cfg.FS, db.dir, db.cfg.reserve())
}

func (c Config) reserve() uint64 { return uint64(max(c.ReserveBytes, 0)) }

// ErrDiskFull is the answer of Open when the disk has not even room for what opening takes.
var ErrDiskFull = fault.New(fault.Exhausted, "STORE_DISK_FULL", "the disk has no room to open the event store; make some and start it again, nothing is lost")

const roomToOpen = 1 << 20 // bytes, beside what the write-ahead log holds

// checkRoom returns ErrDiskFull if the write-ahead log can't be moved into tables, which opening does: Pebble would try for ever. folder is
// Pebble's, which may not be there yet.
func checkRoom(fs vfs.FS, folder string) error {
	names, err := fs.List(folder)
	if err != nil { // opening will tell
		return nil
	}
	usage, err := fs.GetDiskUsage(folder)
	if err != nil {
		return nil
	}
	need := uint64(roomToOpen)
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		if info, err := fs.Stat(fs.PathJoin(folder, name)); err == nil {
			need += uint64(info.Size())
		}
	}
	if usage.AvailBytes < need {
		return ErrDiskFull.Because("the disk has no room to open the event store: %d MiB are free, it takes %d MiB; make room and start it again, nothing is lost",
			usage.AvailBytes>>20, need>>20+1)
	}
	return nil
}

// diskFull reports whether the disk had no room for err's operation.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
