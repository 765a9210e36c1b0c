package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A home is one $ANNAL_HOME and what local.json remembers of it.
type home struct {
	dir     string // absolute
	state   state
	ended   <-chan error // how annald ended, if this very process started it
	logFrom int64        // size of annald.log before this start: what is older belongs to another run
}

// state is written after every step that must not be forgotten: a chosen port, a drawn password, a started process.
type state struct {
	Data     string        `json:"data"` // where the servers keep their data; usually dir/data
	Postgres postgresState `json:"postgres"`
	RabbitMQ rabbitState   `json:"rabbitmq"`
	Daemon   process       `json:"daemon"`

	Listening map[string]string `json:"listening,omitempty"` // where Daemon listens, by setting
}

func openHome(dir string) (*home, error) {
	if dir == "" {
		dir = ".annal"
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &home{dir: abs}, nil
}

func (h *home) path(elem ...string) string { return filepath.Join(append([]string{h.dir}, elem...)...) }
func (h *home) data(elem ...string) string {
	return filepath.Join(append([]string{h.state.Data}, elem...)...)
}

// hash names this home in places shared by all homes of a machine.
func (h *home) hash() string {
	sum := sha256.Sum256([]byte(h.dir))
	return hex.EncodeToString(sum[:])[:10]
}

// locked runs f as the only caller that changes this home. It waits for another one, since an installation may take
// minutes, until ctx ends.
func (h *home) locked(ctx context.Context, f func(context.Context) error) error {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return err
	}
	lock, err := h.lock(ctx)
	err = during(ctx, "waiting for another call", err)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s belongs to another user: run as that user, or set ANNAL_HOME to a directory of your own (%w)", h.dir, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // gives the lock back; what it says of us is for people
	if err := h.load(); err != nil {
		return err
	}
	return f(ctx)
}

// lockedIfThere is locked for callers that end something: a directory that no set-up has made a home stays as it is.
func (h *home) lockedIfThere(ctx context.Context, f func(context.Context) error) error {
	if _, err := os.Stat(h.path(stateFile)); errors.Is(err, fs.ErrNotExist) {
		say("nothing runs in %s", h.dir)
		return nil
	}
	if err := h.load(); err != nil { // somebody else's file: not even a lock is put beside it
		return err
	}
	return h.locked(ctx, f)
}

// lock returns the locked file, with our pid in it for those who wait.
func (h *home) lock(ctx context.Context) (*os.File, error) {
	for {
		lock, err := os.OpenFile(h.path(lockFile), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		if err := waitForLock(ctx, lock); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		if isAt(lock, lock.Name()) {
			return lock, errors.Join(lock.Truncate(0), writeAt(lock, fmt.Sprintf("%d\n", os.Getpid())))
		}
		// We waited for a `clean`, which removed the file: others lock the one that has come in its place.
		if err := errors.Join(lock.Close(), os.MkdirAll(h.dir, 0o755)); err != nil {
			return nil, err
		}
	}
}

func isAt(f *os.File, path string) bool {
	opened, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(opened, there)
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func waitForLock(ctx context.Context, lock *os.File) error {
	for told := false; ; {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking %s: %w", lock.Name(), err)
		}
		if !told {
			say("waiting for %s, which is changing this home", holderOf(lock))
			told = true
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// holderOf reads who wrote itself into the lock. One that has only just got it has not yet done so.
func holderOf(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0) // shorter than that: an error with n bytes read
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

func (h *home) load() error {
	text, err := os.ReadFile(h.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		h.state = state{}
		return nil
	}
	if err != nil {
		return err
	}
	var fresh state // never over the old one: what another call has cleared is not in the text, and would stay
	if err := json.Unmarshal(text, &fresh); err != nil || !isState(text) {
		return errors.Join(fmt.Errorf("%s is not as we write it: set another ANNAL_HOME, or end this one's servers, if any run, and remove it by hand",
			h.path(stateFile)), err)
	}
	h.state = fresh
	h.adopt()
	return nil
}

func (h *home) save() error {
	text, err := json.MarshalIndent(h.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.path(stateFile), append(text, '\n'), 0o600)
}

// writeFile replaces a file as a whole: aside, synced, renamed.
func writeFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, werr := f.Write(text)
	if err := errors.Join(werr, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// placeData decides, once, where the servers' data lives. PostgreSQL refuses to run as root; run by root it gets a user
// of its own (owner), and if that user can't come through to this home (a clone below a closed /home or /root), the data
// goes below /var/tmp.
func (h *home) placeData(ctx context.Context) error {
	if h.state.Data == "" {
		h.state.Data = h.path("data")
		owner, err := serverUser("postgres")
		if err != nil {
			return err
		}
		if !owner.canEnter(ctx, h.dir) {
			h.state.Data = filepath.Join("/var/tmp", "annal-"+h.hash())
			say("%s is closed to the user %s: the servers' data goes to %s", h.dir, owner.name, h.state.Data)
		}
	}
	if err := os.Mkdir(h.state.Data, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// /var/tmp is everybody's: a directory that somebody else made there under our name is not ours.
	info, err := os.Lstat(h.state.Data)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s exists and is not a directory of this user: remove it or set another ANNAL_HOME", h.state.Data)
	}
	return h.save()
}

// stop is `make stop`.
func (h *home) stop(ctx context.Context) error {
	daemon := h.state.Daemon
	running := daemon.alive()
	if daemon.PID != 0 && !running {
		h.tellGone()
	}
	if err := h.stopDaemon(ctx); err != nil {
		return err
	}
	if !running {
		say("annald does not run in %s", h.dir)
		return nil
	}
	say("annald (process %d) has ended", daemon.PID)
	return nil
}

// down is `make down`.
func (h *home) down(ctx context.Context) error {
	stopped, err := h.stopAll(ctx)
	if err != nil {
		return err
	}
	if len(stopped) == 0 {
		say("nothing runs in %s", h.dir)
		return nil
	}
	say("stopped %s", strings.Join(stopped, ", "))
	return nil
}

// stopAll stops everything and names what ran; the order is that of a drain.
func (h *home) stopAll(ctx context.Context) (stopped []string, err error) {
	stopped = h.running()
	return stopped, errors.Join(h.stopDaemon(ctx), h.stopRabbit(ctx), h.stopPostgres(ctx))
}

// running names what runs of this home.
func (h *home) running() (names []string) {
	for _, one := range []struct {
		name string
		process
	}{{"annald", h.state.Daemon}, {"RabbitMQ", h.state.RabbitMQ.Process}, {"PostgreSQL", h.state.Postgres.Process}} {
		if one.alive() {
			names = append(names, one.name)
		}
	}
	return names
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
