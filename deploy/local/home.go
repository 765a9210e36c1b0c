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
	"syscall"
	"time"
)

// A home is one $ANNAL_HOME and what local.json remembers of it.
type home struct {
	dir   string // absolute
	state state
}

// state is written after every step that must not be forgotten: a chosen port, a drawn password, a started process.
type state struct {
	Data     string        `json:"data"` // where the servers keep their data; usually dir/data
	Postgres postgresState `json:"postgres"`
	RabbitMQ rabbitState   `json:"rabbitmq"`
	Daemon   process       `json:"daemon"`
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
	lock, err := os.OpenFile(h.path("local.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s belongs to another user: run as that user, or set ANNAL_HOME to a directory of your own (%w)", h.dir, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // gives the lock back; nothing was written
	if err := waitForLock(ctx, lock); err != nil {
		return err
	}
	if err := h.load(); err != nil {
		return err
	}
	return f(ctx)
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
			say("waiting for another set-up of this home to finish")
			told = true
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func (h *home) load() error {
	text, err := os.ReadFile(h.path("local.json"))
	if errors.Is(err, fs.ErrNotExist) {
		h.state = state{}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &h.state); err != nil {
		return fmt.Errorf("%s is not readable; `make clean` starts afresh (%w)", h.path("local.json"), err)
	}
	return nil
}

func (h *home) save() error {
	text, err := json.MarshalIndent(h.state, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.path("local.json"), append(text, '\n'), 0o600)
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
		if err := os.MkdirAll(h.state.Data, 0o755); err != nil {
			return err
		}
		owner, err := serverUser("postgres")
		if err != nil {
			return err
		}
		if !owner.canEnter(ctx, h.state.Data) {
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

// down stops everything; the order is that of a drain.
func (h *home) down(ctx context.Context) error {
	return errors.Join(h.stopDaemon(ctx), h.stopRabbit(ctx), h.stopPostgres(ctx))
}

func (h *home) clean(ctx context.Context) error {
	if _, err := os.Stat(h.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return h.locked(ctx, func(ctx context.Context) error {
		if err := h.down(ctx); err != nil {
			return err
		}
		if h.state.Data != "" {
			if err := os.RemoveAll(h.state.Data); err != nil {
				return err
			}
		}
		return os.RemoveAll(h.dir)
	})
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
