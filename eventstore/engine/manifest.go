package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/internal/fault"
)

// A backup is a directory:
//
//	MANIFEST      what is in it: JSON, then a line with the SHA-256 of the JSON
//	store/        a store as of one position (backup.go)
//	tail/         what was appended later, in segments (tail.go)
//
// It has its name only when it is complete. Then nothing in it changes but the manifest, which is replaced whole when a segment is added; so a
// copy of a backup, taken at any time with the manifest first, is a backup.
const (
	manifestName   = "MANIFEST"
	manifestFormat = 1
	backupStore    = "store"
	backupTail     = "tail"
	partialSuffix  = ".partial"
)

// What is wrong with a backup; ask with errors.Is.
var (
	ErrBackupMissing = fault.New(fault.Missing, "BACKUP_MISSING", "there is no backup")
	ErrBackupDamaged = fault.New(fault.Internal, "BACKUP_DAMAGED", "the backup is damaged; take another one")
	ErrBackupExists  = fault.New(fault.Conflict, "BACKUP_EXISTS", "a backup of this name is there; choose another name")
	ErrBackupOther   = fault.New(fault.Conflict, "BACKUP_OTHER_HISTORY", "the backup holds another history than the store; take a new backup")
	ErrBackupRunning = fault.New(fault.Conflict, "BACKUP_RUNNING", "a backup of this event store is in progress; wait for it")
)

// A BackupFile is a file of a backup.
type BackupFile struct {
	Name   string `json:"name"` // with slashes, below the backup's directory
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// A Segment is a file with the records of some positions.
type Segment struct {
	BackupFile
	First   Position  `json:"first"`
	Last    Position  `json:"last"`
	Sum     uint32    `json:"sum"` // checksum of the event at Last, as it was written
	Created time.Time `json:"created"`
}

// Manifest says what a backup holds.
type Manifest struct {
	Format   int          `json:"format"`
	Created  time.Time    `json:"created"`
	Position Position     `json:"position"` // the store's last when the backup was taken
	Sum      uint32       `json:"sum"`      // checksum of the event there, as it was written
	Files    []BackupFile `json:"files"`
	Tail     []Segment    `json:"tail"`
}

// Last returns the last position that can be restored.
func (m *Manifest) Last() Position {
	if n := len(m.Tail); n > 0 {
		return m.Tail[n-1].Last
	}
	return m.Position
}

func (m *Manifest) lastSum() uint32 {
	if n := len(m.Tail); n > 0 {
		return m.Tail[n-1].Sum
	}
	return m.Sum
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() (n uint64) {
	for _, f := range m.Files {
		n += uint64(f.Size)
	}
	for _, s := range m.Tail {
		n += uint64(s.Size)
	}
	return n
}

// ReadManifest is the function, on the store's own file system.
func (db *DB) ReadManifest(dir string) (*Manifest, error) { return ReadManifest(db.cfg.FS, dir) }

// ReadManifest reads what a backup holds, and checks that alone. Faults: ErrBackupMissing, ErrBackupDamaged, ErrNewerFormat.
func ReadManifest(fsys vfs.FS, dir string) (*Manifest, error) {
	text, err := readWhole(fsys, fsys.PathJoin(dir, manifestName), 1<<26)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrBackupMissing.Because("%s is no backup: it has no %s", dir, manifestName)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "BACKUP_READ", "the backup's manifest can't be read")
	}
	body, sum, _ := bytes.Cut(text, []byte("\nsha256 "))
	var m Manifest
	if hexSum(body) != strings.TrimSpace(string(sum)) || json.Unmarshal(body, &m) != nil {
		return nil, ErrBackupDamaged.Because("the backup's %s is damaged; take another one", manifestName)
	}
	if m.Format != manifestFormat {
		return nil, ErrNewerFormat.Because("the backup has format %d, this program knows %d; use a newer one", m.Format, manifestFormat)
	}
	return &m, nil
}

func (m *Manifest) write(fsys vfs.FS, dir string) error {
	body, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(fsys, dir, manifestName, fmt.Sprintf("%s\nsha256 %s\n", body, hexSum(body)))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// CheckBackup compares every file of a backup with the manifest. progress, which may be nil, is told bytes. Faults: as ReadManifest, and
// ErrBackupDamaged, which names the file.
func CheckBackup(ctx context.Context, fsys vfs.FS, dir string, progress func(done, of uint64)) (*Manifest, error) {
	m, err := ReadManifest(fsys, dir)
	if err != nil {
		return nil, err
	}
	c := copier{ctx: ctx, fs: fsys, of: m.Bytes(), progress: progress}
	for _, f := range m.all() {
		if err := c.check(dir, f, io.Discard); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// VerifyBackup compares every file of a backup with the manifest, and verifies the store in it as DB.Verify does; records of the tail are
// verified when they are restored. progress, which may be nil, is told of each step. Faults: as CheckBackup and DB.Verify.
func VerifyBackup(ctx context.Context, dir string, progress func(step string, done, of uint64)) (v Verified, err error) {
	if progress == nil {
		progress = func(string, uint64, uint64) {}
	}
	if _, err := CheckBackup(ctx, vfs.Default, dir, func(done, of uint64) { progress("checking", done, of) }); err != nil {
		return Verified{}, err
	}
	db, err := OpenReadOnly(vfs.Default.PathJoin(dir, backupStore), Config{})
	if err != nil {
		return Verified{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Verify(ctx, func(done, of Position) { progress("verifying", uint64(done), uint64(of)) })
}

func (m *Manifest) all() []BackupFile {
	files := append([]BackupFile(nil), m.Files...)
	for _, s := range m.Tail {
		files = append(files, s.BackupFile)
	}
	return files
}

// A copier reads files with their checksums.
type copier struct {
	ctx      context.Context
	fs       vfs.FS
	done, of uint64 // bytes
	progress func(done, of uint64)
}

// sum reads a file into w and returns its size and SHA-256.
func (c *copier) sum(path string, w io.Writer) (size int64, sum string, err error) {
	f, err := c.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	both := io.MultiWriter(h, w)
	buf := make([]byte, 1<<20)
	for {
		if err := c.ctx.Err(); err != nil {
			return 0, "", err
		}
		n, err := f.Read(buf)
		if _, err := both.Write(buf[:n]); err != nil {
			return 0, "", copyFault{err}
		}
		size += int64(n)
		c.done += uint64(n)
		if c.progress != nil {
			c.progress(c.done, c.of)
		}
		if errors.Is(err, io.EOF) {
			return size, hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return 0, "", err
		}
	}
}

// copyFault is what the receiver of a copy refused.
type copyFault struct{ error }

// check reads f, which must be as the manifest says, into w.
func (c *copier) check(dir string, f BackupFile, w io.Writer) error {
	path := c.fs.PathJoin(append([]string{dir}, strings.Split(f.Name, "/")...)...)
	size, sum, err := c.sum(path, w)
	var written copyFault
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrBackupDamaged.Because("the backup's file %s is missing; take another backup, or fetch another copy", f.Name)
	case errors.As(err, &written):
		return written.error // the other side's
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "BACKUP_READ", "the backup can't be read")
	case size != f.Size || sum != f.SHA256:
		return ErrBackupDamaged.Because("the backup's file %s is not what it was; take another backup, or fetch another copy", f.Name)
	}
	return nil
}

func readWhole(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, limit))
	return text, errors.Join(err, f.Close())
}
