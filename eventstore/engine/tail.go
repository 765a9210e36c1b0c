package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// A segment is a line of text, and for each position from the first to the last:
//
//	position  8  big-endian
//	length    4  big-endian
//	record       as it is in the log
const segmentText = "annal event store, tail 1\n"

const segmentFrame = 8 + 4

// ArchiveTail adds to a backup what was appended since it was taken, or since the last call; done often, it bounds what a lost disk costs. It
// returns the new segment, whose First is 0 if nothing was new.
//
// Faults: ErrBackupMissing, ErrBackupDamaged, ErrBackupOther (the store was restored to an earlier position meanwhile, or is another one),
// ErrBackupRunning, ErrCorrupt (what is damaged is not archived), ErrClosed, timeout, unavailable.
func (db *DB) ArchiveTail(ctx context.Context, backup string) (Segment, error) {
	if err := db.enter(); err != nil {
		return Segment{}, err
	}
	defer db.leave()
	if !db.saving.TryLock() {
		return Segment{}, ErrBackupRunning
	}
	defer db.saving.Unlock()
	m, err := ReadManifest(db.cfg.FS, backup)
	if err != nil {
		return Segment{}, err
	}
	db.sweeps.Lock()
	defer db.sweeps.Unlock()
	bound := db.Last()
	if err := db.continues(m, bound); err != nil || bound == m.Last() {
		return Segment{}, err
	}
	s, err := db.segment(ctx, backup, m.Last()+1, bound)
	if err != nil {
		return Segment{}, fault.Wrap(err, fault.Unavailable, "BACKUP_WRITE", "the backup can't be written")
	}
	m.Tail = append(m.Tail, s)
	return s, fault.Wrap(m.write(db.cfg.FS, backup), fault.Unavailable, "BACKUP_WRITE", "the backup can't be written")
}

// continues makes sure that the store goes on where the backup ends.
func (db *DB) continues(m *Manifest, bound Position) error {
	if bound < m.Last() {
		return ErrBackupOther.Because("the backup reaches position %d, the store %d: it was restored to an earlier position, or is another one; take a new backup", m.Last(), bound)
	}
	sum, err := sumAt(db.pebble, m.Last())
	if err == nil && sum != m.lastSum() {
		return ErrBackupOther.Because("the backup and the store have different events at position %d; take a new backup", m.Last())
	}
	return err
}

func (db *DB) segment(ctx context.Context, backup string, first, last Position) (s Segment, err error) {
	fsys := db.cfg.FS
	dir := fsys.PathJoin(backup, backupTail)
	s = Segment{First: first, Last: last, Created: db.cfg.Now().UTC()}
	s.Name = fmt.Sprintf("%s/%020d-%020d.segment", backupTail, first, last)
	path := fsys.PathJoin(backup, s.Name)
	f, err := fsys.Create(path+partialSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return s, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	s.Sum, err = db.copyRecords(ctx, w, first, last)
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return s, errors.Join(err, fsys.Remove(path+partialSuffix))
	}
	c := copier{ctx: ctx, fs: fsys}
	if s.Size, s.SHA256, err = c.sum(path+partialSuffix, io.Discard); err != nil {
		return s, err
	}
	return s, errors.Join(fsys.Rename(path+partialSuffix, path), syncDir(fsys, dir))
}

func (db *DB) copyRecords(ctx context.Context, w io.Writer, first, last Position) (sum uint32, err error) {
	if _, err := io.WriteString(w, segmentText); err != nil {
		return 0, err
	}
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, first), UpperBound: appendEventKey(nil, last+1)})
	if err != nil {
		return 0, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	expect := first
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		value := it.Value()
		if p, ok := decodeEventKey(it.Key()); !ok || p != expect {
			return 0, corrupt(expect, "the record is missing")
		}
		if _, err := decodeRecord(expect, value); err != nil && !errors.Is(err, errScavenged) {
			return 0, corrupt(expect, "%v", err)
		}
		frame := binary.BigEndian.AppendUint64(make([]byte, 0, segmentFrame), uint64(expect))
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(value)))
		if _, err := w.Write(append(frame, value...)); err != nil {
			return 0, err
		}
		sum = originalSum(value)
		expect++
	}
	if err := readFault(it.Error()); err != nil {
		return 0, err
	}
	if expect != last+1 {
		return 0, corrupt(expect, "the record is missing")
	}
	return sum, nil
}

// readSegment calls f for every record of a segment whose checksum in the manifest holds. f may keep the value.
func readSegment(fsys vfs.FS, backup string, s Segment, f func(Position, []byte) error) (err error) {
	file, err := fsys.Open(fsys.PathJoin(append([]string{backup}, strings.Split(s.Name, "/")...)...), vfs.SequentialReadsOption)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "BACKUP_READ", "the backup can't be read")
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	damaged := ErrBackupDamaged.Because("the backup's file %s is no segment", s.Name)
	r := bufio.NewReaderSize(file, 1<<20)
	head := make([]byte, len(segmentText))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != segmentText {
		return damaged
	}
	for p := s.First; p <= s.Last; p++ {
		var frame [segmentFrame]byte
		if _, err := io.ReadFull(r, frame[:]); err != nil {
			return damaged
		}
		size := binary.BigEndian.Uint32(frame[8:])
		if Position(binary.BigEndian.Uint64(frame[:])) != p || int64(size) > s.Size {
			return damaged
		}
		value := make([]byte, size)
		if _, err := io.ReadFull(r, value); err != nil {
			return damaged
		}
		if err := f(p, value); err != nil {
			return err
		}
	}
	return nil
}
