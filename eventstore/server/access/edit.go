package access

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// List returns the users of the file. Faults: as Open, save that a file without users is one.
func List(path string) ([]User, error) {
	text, err := readUsers(path)
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// Put writes the user's line into the file: in the place of the line that the name has, or at the end. A file that isn't there is
// made. It tells whether the name was there. Faults: as Open, and STORE_USERS_UNWRITABLE.
func Put(path string, u User) (replaced bool, err error) {
	text, err := readUsers(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	lines, at, err := find(text, u.Name)
	if err != nil {
		return false, err
	}
	if at < 0 {
		lines = append(lines, u.String())
	} else {
		lines[at] = u.String()
	}
	return at >= 0, write(path, lines)
}

// Remove takes the user's line out of the file. Faults: as Put, STORE_USER_MISSING, and STORE_USER_LAST for the only one: a store takes no
// file without users over, so that user would go on as if nothing were.
func Remove(path, name string) error {
	text, err := readUsers(path)
	if err != nil {
		return err
	}
	lines, at, err := find(text, name)
	if err != nil {
		return err
	}
	if at < 0 {
		return fault.Newf(fault.Missing, "STORE_USER_MISSING", "the event store's file of users names no %q", name)
	}
	if users, err := Parse(text); err != nil || len(users) == 1 {
		return cmp.Or(err, error(fault.Newf(fault.Invalid, "STORE_USER_LAST",
			"%s is the only user: a running store would keep it in force; add another one first, or stop the store and remove its file of users", name)))
	}
	return write(path, append(lines[:at], lines[at+1:]...))
}

// find splits a sound file into lines and looks for the one of name; -1 if there is none. Comments stay where they are.
func find(text []byte, name string) (lines []string, at int, err error) {
	if _, err := Parse(text); err != nil {
		return nil, 0, err
	}
	at = -1
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, name+":") {
			at = len(lines)
		}
		lines = append(lines, line)
	}
	return lines, at, nil
}

// write replaces the file as a whole, so that a store that reads it never sees half of it.
func write(path string, lines []string) (err error) {
	defer func() {
		err = fault.Wrap(err, fault.Invalid, "STORE_USERS_UNWRITABLE", "the event store's file of users can't be written")
	}()
	draft, err := os.CreateTemp(filepath.Dir(path), ".users-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(draft.Name()))
		}
	}()
	_, err = draft.WriteString(strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}
