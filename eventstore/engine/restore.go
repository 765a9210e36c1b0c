package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// restoringName is a file that says that the directory is not a store yet.
const restoringName = "RESTORING"

// What a restore refuses; ask with errors.Is.
var (
	ErrNotEmpty     = fault.New(fault.Invalid, "RESTORE_NOT_EMPTY", "a backup is restored into an empty directory only")
	ErrRestorePoint = fault.New(fault.Invalid, "RESTORE_POSITION", "the backup can't be restored to this position")
)

// RestoreConfig says what to restore. The zero value restores all that the backup has.
type RestoreConfig struct {
	To       Position // the last position wanted; default the backup's last
	DryRun   bool     // check the backup and the directory, write nothing
	FS       vfs.FS   // default: the operating system's
	Progress func(step string, done, of uint64)
}

// Restored says what a restore made.
type Restored struct {
	Verified
	Backup Position `json:"backup_position"` // where the backup ends
}

// Restore makes a store in dir, which must be empty or missing, that ends at cfg.To, and verifies it: the log's bytes are those of the store that
// was backed up, up to that position. It has that store's identity, since that is an event; so consumers that had seen more must be
// rebuilt. It becomes a store with its last write: killed before, it leaves a directory that no program takes for one.
//
// Faults: ErrNotEmpty, ErrRestorePlace, ErrRestorePoint (beyond the backup, in the middle of an append, or where revisions would be given twice; the
// message says where one could), ErrDiskFull, ErrBackupMissing, ErrBackupDamaged, ErrNewerFormat, ErrCorrupt, timeout, unavailable.
func Restore(ctx context.Context, backup, dir string, cfg RestoreConfig) (Restored, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, uint64, uint64) {}
	}
	m, err := ReadManifest(cfg.FS, backup)
	if err != nil {
		return Restored{}, err
	}
	if cfg.To == 0 {
		cfg.To = m.Last()
	}
	if cfg.To > m.Last() {
		return Restored{}, ErrRestorePoint.Because("the backup ends at position %d", m.Last())
	}
	if err := checkPlace(cfg.FS, dir); err != nil {
		return Restored{}, err
	}
	if cfg.DryRun {
		_, err := CheckBackup(ctx, cfg.FS, backup, func(done, of uint64) { cfg.Progress("checking", done, of) })
		return Restored{Verified: Verified{Position: cfg.To}, Backup: m.Last()}, err
	}
	r := &restorer{fs: cfg.FS, cfg: cfg, backup: backup, dir: dir, m: m}
	v, err := r.run(ctx)
	if err != nil {
		err = errors.Join(restoreFault(err, dir), r.undo())
	}
	return Restored{v, m.Last()}, err
}

type restorer struct {
	fs     vfs.FS
	cfg    RestoreConfig
	backup string
	dir    string
	m      *Manifest
}

func (r *restorer) run(ctx context.Context) (v Verified, err error) {
	folder := r.fs.PathJoin(r.dir, storeFolder)
	if err := r.fs.MkdirAll(folder, 0o750); err != nil {
		return v, err
	}
	if err := writeWhole(r.fs, r.dir, restoringName, "not a store yet\n"); err != nil {
		return v, err
	}
	if err := checkRestoreRoom(r.fs, folder, r.m.Bytes()); err != nil {
		return v, err
	}
	if err := r.copy(ctx, folder); err != nil {
		return v, err
	}
	p, err := pebble.Open(folder, pebbleOptions(Config{FS: r.fs}.withDefaults()))
	if err != nil {
		return v, openFault(err)
	}
	version, v, err := r.bring(ctx, p)
	if err = errors.Join(err, p.Flush(), p.Close()); err != nil {
		return v, err
	}
	return v, r.finish(version)
}

// undo removes what was written, so that the next try finds the directory empty.
func (r *restorer) undo() error {
	return errors.Join(r.fs.RemoveAll(r.fs.PathJoin(r.dir, storeFolder)), r.fs.RemoveAll(r.fs.PathJoin(r.dir, restoringName)),
		r.fs.RemoveAll(r.fs.PathJoin(r.dir, floorName)))
}

// copy copies Pebble's files; none of them is used before its checksum was compared.
func (r *restorer) copy(ctx context.Context, folder string) error {
	c := copier{ctx: ctx, fs: r.fs, of: r.m.Bytes(), progress: func(done, of uint64) { r.cfg.Progress("copying", done, of) }}
	prefix := backupStore + "/" + storeFolder + "/"
	for _, f := range r.m.Files {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok { // small files of the store, made anew: a damaged one says that the backup can't be trusted
			if err := c.check(r.backup, f, discard{}); err != nil {
				return err
			}
			continue
		}
		if strings.ContainsAny(name, `/\`) {
			return ErrBackupDamaged.Because("the backup's manifest names the file %q", f.Name)
		}
		out, err := r.fs.Create(r.fs.PathJoin(folder, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		err = c.check(r.backup, f, out)
		if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
			return err
		}
	}
	return syncDir(r.fs, folder)
}

// bring cuts the copied store off at the wanted position, or prolongs it from the tail, and verifies it.
func (r *restorer) bring(ctx context.Context, p *pebble.DB) (version int, v Verified, err error) {
	version, err = readMarker(r.fs, r.fs.PathJoin(r.backup, backupStore, markerName))
	if err != nil {
		return 0, v, err
	}
	last, err := lastPosition(p)
	if err != nil {
		return 0, v, err
	}
	if last < r.m.Position {
		return 0, v, corrupt(last+1, "the backup ends here, and should reach position %d", r.m.Position)
	}
	e := &editor{p: p, last: last, to: r.cfg.To, streams: newGenerations[string, *end](cachedHeads)}
	if e.swept, err = loadSwept(p); err != nil {
		return 0, v, err
	}
	if err := r.reach(ctx, e); err != nil {
		return 0, v, err
	}
	if err := e.finish(); err != nil {
		return 0, v, err
	}
	if e.swept.events > 0 {
		version = max(version, formatScavenged)
	}
	if err := whole(p, e.to, r.m.Last()); err != nil {
		return 0, v, err
	}
	check := newVerifier(p, e.to, func(done, of Position) { r.cfg.Progress("verifying", uint64(done), uint64(of)) })
	err = check.all(ctx)
	return version, check.done, err
}

// reach makes the log end at the wanted position. What a cut takes away tells where one could end; what a tail has behind it is not read.
func (r *restorer) reach(ctx context.Context, e *editor) error {
	if e.to <= r.m.Position && e.last > e.to && e.swept.events > 0 {
		need, err := newNumbering(e.p).earliest(ctx, 1, e.to)
		if err == nil && need > e.to {
			err = refuse(e.to, need, r.m.Last())
		}
		if err != nil {
			return err
		}
	}
	if err := e.cut(ctx, min(r.m.Position, e.to)); err != nil {
		return err
	}
	if err := errors.Join(r.prolong(ctx, e), e.turn(true)); err != nil {
		return err
	}
	if e.to <= r.m.Position || e.swept.events == 0 {
		return nil
	}
	need, err := newNumbering(e.p).earliest(ctx, r.m.Position+1, e.to)
	if err == nil && need > e.to {
		err = refuse(e.to, need, r.m.Last())
	}
	return err
}

func (r *restorer) prolong(ctx context.Context, e *editor) error {
	c := copier{ctx: ctx, fs: r.fs}
	for _, s := range r.m.Tail {
		if s.First > e.to {
			break
		}
		if err := c.check(r.backup, s.BackupFile, discard{}); err != nil {
			return err
		}
		err := readSegment(r.fs, r.backup, s, func(p Position, raw []byte) error {
			if p > e.to {
				return nil
			}
			if p%8192 == 0 {
				r.cfg.Progress("prolonging", uint64(p), uint64(e.to))
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return e.add(p, raw)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// whole makes sure that no append is cut in two at p (invariant 2).
func whole(r pebble.Reader, p, end Position) error {
	rest, err := restAt(r, p)
	if err != nil || rest == 0 {
		return err
	}
	before := p
	for before > 0 {
		before--
		n, err := restAt(r, before)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	after := p + Position(rest)
	switch {
	case before == 0:
		return ErrRestorePoint.Because("position %d is in the middle of the first append; restore to %d", p, after)
	case after > end:
		return ErrRestorePoint.Because("position %d is in the middle of an append; restore to %d", p, before)
	}
	return ErrRestorePoint.Because("position %d is in the middle of an append; restore to %d or %d", p, before, after)
}

func restAt(r pebble.Reader, p Position) (uint64, error) {
	if p == 0 {
		return 0, nil
	}
	value, closer, err := r.Get(appendEventKey(nil, p))
	if err != nil {
		return 0, corrupt(p, "the record is missing")
	}
	defer closer.Close()
	rec, err := decodeRecord(p, value)
	if errors.Is(err, errScavenged) {
		err = nil // a stub keeps the number
	}
	return rec.Rest, recordFault(p, err)
}

// finish makes the directory a store.
func (r *restorer) finish(version int) error {
	if err := writeFloor(r.fs, r.dir, r.cfg.To); err != nil {
		return err
	}
	if err := errors.Join(r.fs.Remove(r.fs.PathJoin(r.dir, restoringName)), syncDir(r.fs, r.dir)); err != nil {
		return err
	}
	if err := writeWhole(r.fs, r.dir, markerName, fmt.Sprintf(markerText, version)); err != nil {
		return err
	}
	return syncDir(r.fs, r.fs.PathDir(r.dir))
}
