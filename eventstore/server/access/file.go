package access

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/annalhq/annal/internal/fault"
)

// Users are those of a file, which may change while the process runs.
type Users struct {
	path    string
	log     *slog.Logger
	checker *checker
	now     atomic.Pointer[book]

	mu       sync.Mutex // one Refresh at a time
	text     []byte     // what now was made of
	pending  []byte     // what the file held at the last Refresh, if it was something else
	complain string     // the last complaint, so that it is said once
}

// Open reads the file. It must name somebody, and only its owner may be able to write it.
//
// Faults: STORE_USERS_UNREADABLE, STORE_USERS_MALFORMED, STORE_USERS_NONE, STORE_USERS_WRITABLE.
func Open(path string, log *slog.Logger) (*Users, error) {
	u := &Users{path: path, log: log, checker: newChecker()}
	text, err := readUsers(path)
	if err != nil {
		return nil, err
	}
	return u, u.take(text)
}

// Check returns who has this name and password. host is where the caller is.
//
// Faults: ErrCredentials; ErrBusy; the context's.
func (u *Users) Check(ctx context.Context, name, password, host string) (Principal, error) {
	a, err := u.checker.check(ctx, u.now.Load(), name, password, host)
	if err != nil {
		return Principal{}, err
	}
	return a.Principal, nil
}

// Known is Check for whoever logged in before: it costs no hash and waits for nothing.
func (u *Users) Known(name, password string) (Principal, bool) {
	a := u.checker.recognise(u.now.Load(), name, password)
	if a == nil {
		return Principal{}, false
	}
	return a.Principal, true
}

// Refresh looks at the file and takes over what it holds, once it has held the same at two looks: an editor may be in the midst of
// writing. It is called every second or so. What is wrong with the file is logged once, and the users stay as they were.
func (u *Users) Refresh() {
	u.mu.Lock()
	defer u.mu.Unlock()
	text, err := readUsers(u.path)
	if err != nil {
		u.complainOf(err)
		return
	}
	if bytes.Equal(text, u.text) {
		u.pending, u.complain = nil, ""
		return
	}
	if u.pending == nil || !bytes.Equal(text, u.pending) {
		u.pending = text
		return
	}
	if err := u.take(text); err != nil {
		u.complainOf(err)
	}
}

func (u *Users) complainOf(err error) {
	if err.Error() != u.complain {
		u.complain = err.Error()
		u.log.Error("event store: the file of users is not taken over, the users stay as they were", "error", err)
	}
}

// take makes text the truth.
func (u *Users) take(text []byte) error {
	users, err := Parse(text)
	if err != nil {
		return err
	}
	if len(users) == 0 {
		return fault.Newf(fault.Invalid, "STORE_USERS_NONE", "%s names no user; `annal store user add NAME --role ROLE` makes one", u.path)
	}
	old := u.now.Load()
	next, err := bind(users, old)
	if err != nil {
		return err
	}
	u.now.Store(next)
	u.text, u.pending, u.complain = text, nil, ""
	if gone := old.replaced(next); old != nil {
		u.log.Info("event store: the file of users was read again", "users", len(users), "changed or removed", gone)
	}
	return nil
}

// readUsers reads the file, and refuses one that others could write: they could make themselves administrators.
func readUsers(path string) ([]byte, error) {
	unreadable := func(err error) error {
		return fault.Wrap(err, fault.Invalid, "STORE_USERS_UNREADABLE", "the event store's file of users can't be read")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.Invalid, "STORE_USERS_UNREADABLE", "%s is not a file", path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fault.Newf(fault.Invalid, "STORE_USERS_WRITABLE", "%s may be written by others than its owner; chmod 600 it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(err)
	}
	return text, nil
}
