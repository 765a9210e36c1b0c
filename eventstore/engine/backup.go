package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// Backup writes a backup of the store, as of the visible position, into dest, which must not exist. Appends and reads go on meanwhile. On the
// store's own file system tables are hard links, which cost no space until compactions replace them; so a copy elsewhere is what
// survives the disk. All files are read once for their checksums; progress, which may be nil, is told bytes.
//
// Killed at any instant it leaves nothing under dest, or all. Faults: ErrBackupExists, ErrBackupRunning, ErrClosed, timeout if ctx ended, and
// unavailable for what the file system refuses.
func (db *DB) Backup(ctx context.Context, dest string, progress func(done, of uint64)) (*Manifest, error) {
	if err := db.enter(); err != nil {
		return nil, err
	}
	defer db.leave()
	if !db.saving.TryLock() {
		return nil, ErrBackupRunning
	}
	defer db.saving.Unlock()
	fsys := db.cfg.FS
	if _, err := fsys.Stat(dest); err == nil {
		return nil, ErrBackupExists.Because("%s is there already; choose another name", dest)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Unavailable, "BACKUP_WRITE", "the place of the backup can't be read")
	}
	draft := dest + partialSuffix // of one that was killed, if it is there
	err := fsys.RemoveAll(draft)
	var m *Manifest
	if err == nil {
		m, err = db.backup(ctx, draft, progress)
	}
	if err == nil {
		err = errors.Join(fsys.Rename(draft, dest), syncDir(fsys, fsys.PathDir(dest)))
	}
	if err != nil {
		err = errors.Join(err, fsys.RemoveAll(draft))
		return nil, fault.Wrap(err, fault.Unavailable, "BACKUP_WRITE", "the backup can't be written")
	}
	return m, nil
}

func (db *DB) backup(ctx context.Context, draft string, progress func(done, of uint64)) (*Manifest, error) {
	fsys := db.cfg.FS
	store := fsys.PathJoin(draft, backupStore)
	for _, dir := range []string{store, fsys.PathJoin(draft, backupTail)} {
		if err := fsys.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
	}
	m := &Manifest{Format: manifestFormat, Created: db.cfg.Now().UTC()}
	if err := db.checkpoint(m, fsys.PathJoin(store, storeFolder)); err != nil {
		return nil, err
	}
	// The marker comes behind the keys: a scavenge that begins in between has raised its number before it wrote any.
	version, err := readMarker(fsys, fsys.PathJoin(db.dir, markerName))
	if err == nil {
		err = writeWhole(fsys, store, markerName, fmt.Sprintf(markerText, version))
	}
	if err == nil {
		err = writeFloor(fsys, store, m.Position)
	}
	if err == nil {
		err = opens(fsys, store, m.Position)
	}
	if err == nil {
		m.Files, err = sums(ctx, fsys, draft, progress)
	}
	if err != nil {
		return nil, err
	}
	return m, errors.Join(m.write(fsys, draft), syncDir(fsys, store), syncDir(fsys, draft))
}

// checkpoint copies Pebble's files. They may hold more than m.Position, even what a power cut now would take from the store: a restore ends there.
func (db *DB) checkpoint(m *Manifest, dest string) (err error) {
	db.sweeps.Lock()
	defer db.sweeps.Unlock()
	m.Position = db.Last()
	if m.Sum, err = sumAt(db.pebble, m.Position); err != nil {
		return err
	}
	return db.pebble.Checkpoint(dest, pebble.WithFlushedWAL())
}

// opens looks whether the store in dir can be opened and reaches p.
func opens(fsys vfs.FS, dir string, p Position) error {
	db, err := OpenReadOnly(dir, Config{FS: fsys})
	if err != nil {
		return err
	}
	if db.Last() < p {
		err = corrupt(db.Last()+1, "the backup ends here, and should reach position %d", p)
	}
	return errors.Join(err, db.Close(), fsys.Remove(fsys.PathJoin(dir, storeFolder, "LOCK")))
}

// sums returns the files of a backup that was just written.
func sums(ctx context.Context, fsys vfs.FS, draft string, progress func(done, of uint64)) (files []BackupFile, err error) {
	c := copier{ctx: ctx, fs: fsys, progress: progress}
	for _, folder := range []string{backupStore, backupStore + "/" + storeFolder} {
		dir := fsys.PathJoin(draft, folder)
		names, err := fsys.List(dir)
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		for _, name := range names {
			info, err := fsys.Stat(fsys.PathJoin(dir, name))
			if err != nil {
				return nil, err
			}
			if info.IsDir() {
				continue
			}
			files = append(files, BackupFile{Name: folder + "/" + name, Size: info.Size()})
			c.of += uint64(info.Size())
		}
	}
	for i := range files {
		f := &files[i]
		if f.Size, f.SHA256, err = c.sum(fsys.PathJoin(draft, f.Name), io.Discard); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// sumAt returns the checksum of the event at p, as it was written; 0 for position 0.
func sumAt(r pebble.Reader, p Position) (uint32, error) {
	if p == 0 {
		return 0, nil
	}
	value, closer, err := r.Get(appendEventKey(nil, p))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, corrupt(p, "the record is missing")
	}
	if err != nil {
		return 0, readFault(err)
	}
	defer closer.Close()
	if _, err := decodeRecord(p, value); err != nil && !errors.Is(err, errScavenged) {
		return 0, corrupt(p, "%v", err)
	}
	return originalSum(value), nil
}
