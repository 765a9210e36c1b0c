// Package admin lets an operator work on an event store that is running: only the process that has the store open can back it up, verify or
// scavenge it.
//
//	GET  /eventstore/stat
//	POST /eventstore/backup     {"directory", "name", "tail"}
//	POST /eventstore/verify     {"directory"}
//	POST /eventstore/scavenge   {"directory", "dry_run", "rate"}
//
// The answer to a POST is JSON lines: {"progress": {...}} now and then, and at the end {"result": {...}} or {"fault": {...}}. Whoever hangs up
// ends the work, at a point from which it can be begun again. A request names the directory of the store that it means, so that a tool with
// the settings of another house does nothing.
//
// Access: whoever may talk to it may fill the disk with backups and remove what metadata hides. So it belongs on the admin listener, and
// answers only callers on the loopback interface who say a loopback name in Host, and no web pages: a browser can't be made to
// call it. Backups are written below one directory, by names without folders.
//
// Callers: cmd/annald serves it, cmd/annal calls it (client.go).
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/internal/fault"
)

// Config tells a Handler what only its program knows.
type Config struct {
	Backups string                   // directory of backups; it is made when it is needed
	Keep    func(stream string) bool // streams that are never scavenged; nil: none
	Logger  *slog.Logger             // default slog.Default
}

// Handler serves the operations of one store.
type Handler struct {
	db  *engine.DB
	cfg Config
}

// New returns a handler for db. The caller closes db after the last request has ended.
func New(db *engine.DB, cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Handler{db: db, cfg: cfg}
}

// Register adds the operations to mux.
func (h *Handler) Register(mux *http.ServeMux) {
	local := http.NewCrossOriginProtection()
	for pattern, f := range map[string]operation{"POST /eventstore/backup": h.backup, "POST /eventstore/verify": h.verify,
		"POST /eventstore/scavenge": h.scavenge, "GET /eventstore/stat": h.stat} {
		mux.Handle(pattern, local.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, f) })))
	}
}

// Request is what a POST asks for.
type Request struct {
	Directory string `json:"directory"` // of the store that is meant
	Name      string `json:"name,omitempty"`
	Tail      bool   `json:"tail,omitempty"`
	DryRun    bool   `json:"dry_run,omitempty"`
	Rate      int    `json:"rate,omitempty"`
}

// Progress says how far an operation is.
type Progress struct {
	Step string `json:"step"`
	Done uint64 `json:"done"`
	Of   uint64 `json:"of,omitempty"` // 0: unknown
}

// Refusal is a fault on the wire.
type Refusal struct {
	Kind    string `json:"kind"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type line struct {
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Fault    *Refusal        `json:"fault,omitempty"`
}

type operation func(ctx context.Context, req Request, told func(Progress)) (any, error)

// ErrNotLocal is the answer to a caller from elsewhere.
var ErrNotLocal = fault.New(fault.Denied, "NOT_LOCAL", "operations on the event store are for callers on its own machine")

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, f operation) {
	out := &lines{w: w, flush: http.NewResponseController(w).Flush}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	if !loopback(r.RemoteAddr) || !loopback(r.Host) {
		w.WriteHeader(http.StatusForbidden)
		out.end(nil, ErrNotLocal)
		return
	}
	var req Request
	if r.Method == http.MethodPost {
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			out.end(nil, fault.Wrap(err, fault.Invalid, "REQUEST_INVALID", "the request is not understood"))
			return
		}
		if err := h.means(req.Directory); err != nil {
			w.WriteHeader(http.StatusConflict)
			out.end(nil, err)
			return
		}
	}
	result, err := f(r.Context(), req, out.told)
	if err != nil {
		h.cfg.Logger.ErrorContext(r.Context(), "event store: an operation failed", "path", r.URL.Path, "error", err)
	} else if r.Method == http.MethodPost {
		h.cfg.Logger.InfoContext(r.Context(), "event store: an operation ended", "path", r.URL.Path, "result", result)
	}
	out.end(result, err)
}

// loopback reports whether an address, with or without port, is this machine's own.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// means makes sure that the caller means this store.
func (h *Handler) means(directory string) error {
	s, err := h.db.Stat()
	if err != nil {
		return err
	}
	if Canonical(directory) != Canonical(s.Directory) {
		return fault.Newf(fault.Conflict, "OTHER_STORE", "the store of this process is in %s, not in %s; set ANNAL_ADMIN_LISTEN and ANNAL_EVENTSTORE_DIR of one house", Canonical(s.Directory), directory)
	}
	return nil
}

// Canonical is how a directory is told from others.
func Canonical(directory string) string {
	whole, err := filepath.Abs(directory)
	if err != nil {
		return directory
	}
	if real, err := filepath.EvalSymlinks(whole); err == nil {
		return real
	}
	return whole
}

func (h *Handler) stat(context.Context, Request, func(Progress)) (any, error) { return h.db.Stat() }

var backupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckName returns an invalid fault for what can't name a backup.
func CheckName(name string) error {
	if !backupName.MatchString(name) || strings.HasSuffix(name, ".partial") {
		return fault.Newf(fault.Invalid, "BACKUP_NAME", "%q can't name a backup: give letters, digits, '.', '_' and '-'; it is written below ANNAL_EVENTSTORE_BACKUPS", name)
	}
	return nil
}

// Backup is the result of a backup.
type Backup struct {
	Directory string          `json:"directory"`
	Position  engine.Position `json:"position"` // the last that can be restored
	Bytes     uint64          `json:"bytes"`    // of all its files
	First     engine.Position `json:"first"`    // of what this call added
}

func (h *Handler) backup(ctx context.Context, req Request, told func(Progress)) (any, error) {
	return TakeBackup(ctx, h.db, h.cfg.Backups, req.Name, req.Tail, told)
}

// TakeBackup writes a backup below dir, or adds to it what was appended since. Faults: as engine's, and BACKUP_NAME.
func TakeBackup(ctx context.Context, db *engine.DB, dir, name string, tail bool, told func(Progress)) (Backup, error) {
	if err := CheckName(name); err != nil {
		return Backup{}, err
	}
	dest := filepath.Join(dir, name)
	first := engine.Position(1)
	var err error
	if tail {
		var s engine.Segment
		s, err = db.ArchiveTail(ctx, dest)
		first = s.First
	} else {
		_, err = db.Backup(ctx, dest, func(done, of uint64) { told(Progress{"summing", done, of}) })
	}
	if err != nil {
		return Backup{}, err
	}
	m, err := db.ReadManifest(dest)
	if err != nil {
		return Backup{}, err
	}
	return Backup{Directory: Canonical(dest), Position: m.Last(), Bytes: m.Bytes(), First: first}, nil
}

func (h *Handler) verify(ctx context.Context, _ Request, told func(Progress)) (any, error) {
	return h.db.Verify(ctx, func(done, of engine.Position) { told(Progress{"verifying", uint64(done), uint64(of)}) })
}

func (h *Handler) scavenge(ctx context.Context, req Request, told func(Progress)) (any, error) {
	return h.db.Scavenge(ctx, engine.ScavengeConfig{Keep: h.cfg.Keep, Rate: req.Rate, DryRun: req.DryRun,
		Progress: func(s engine.Scavenged) { told(Progress{Step: "streams looked at", Done: s.Streams}) }})
}

// lines writes an answer.
type lines struct {
	mu    sync.Mutex
	w     io.Writer
	flush func() error
	last  time.Time
}

const progressPause = 200 * time.Millisecond

// told writes progress, now and then. A caller who has hung up is noticed by the request's context.
func (l *lines) told(p Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last) < progressPause {
		return
	}
	l.last = time.Now()
	_ = json.NewEncoder(l.w).Encode(line{Progress: &p})
	_ = l.flush()
}

func (l *lines) end(result any, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last line
	if err == nil {
		last.Result, err = json.Marshal(result)
	}
	if err != nil {
		last = line{Fault: refusal(err)}
	}
	_ = json.NewEncoder(l.w).Encode(last) // who hung up is not told
	_ = l.flush()
}

// refusal tells an operator all that is known: which record is damaged, and what the file system said.
func refusal(err error) *Refusal {
	message := fault.MessageOf(err)
	if f := (*fault.Error)(nil); errors.As(err, &f) && f.Kind == fault.Internal || fault.KindOf(err) == fault.Unavailable {
		message = err.Error()
	}
	return &Refusal{Kind: fault.KindOf(err).String(), Code: fault.CodeOf(err), Message: message}
}
