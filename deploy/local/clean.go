package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// written is all that we, annald and annal write below a home, apart from the servers' data (writtenData). Only these names
// are ever deleted: somebody may have set ANNAL_HOME to a folder that holds other things. local.json and local.lock
// come last: a clean that is cut off knows at the next call that the rest is ours.
var written = []string{
	"annald.log", "install.log", "rabbitmq.console",
	"tokens.env", "tokens.env.new", "vault.key", "token.key", ".secret-*",
	"eventstore", "simulators", "mail", "imports",
	"servers.env", "servers.env.new", "local.json.new", stateFile, lockFile,
}

// backups is where annald keeps backups of the event store, unless ANNAL_EVENTSTORE_BACKUPS says otherwise. They are ours too, and outlive
// a clean on purpose: who clears a broken home is who needs them.
const backups = "backups"

// writtenData is the same of the directory of the servers' data.
var writtenData = []string{"postgres", "postgres.new", "postgres.password", "rabbitmq"}

const (
	stateFile = "local.json"
	lockFile  = "local.lock"
)

// envHeader begins every servers.env.
const envHeader = "# written by `make servers`"

// clean stops everything and deletes what was written. What it does not know stays, and is named.
func (h *home) clean(ctx context.Context) error {
	switch ours, err := h.ours(); {
	case errors.Is(err, fs.ErrNotExist):
		say("%s does not exist: nothing to remove", h.dir)
		return nil
	case err != nil:
		return err
	case !ours:
		return fmt.Errorf("%s is not a home of Annal (it has neither %s nor servers.env of ours): nothing was removed; "+
			"set ANNAL_HOME to the home you mean", h.dir, stateFile)
	}
	return h.locked(ctx, func(ctx context.Context) error {
		stopped, err := h.stopAll(ctx)
		if err != nil {
			return err
		}
		return h.remove(stopped)
	})
}

// ours reports whether this directory is a home: what we write at the first step is in it, or nothing but a lock and
// the backups of an earlier clean.
func (h *home) ours() (bool, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != lockFile && e.Name() != backups }) {
		return true, nil
	}
	remembered, err := readIfThere(h.path(stateFile))
	if err != nil {
		return false, err
	}
	servers, err := readIfThere(h.path("servers.env"))
	if err != nil {
		return false, err
	}
	return isState(remembered) || bytes.HasPrefix(servers, []byte(envHeader)), nil
}

// isState tells our local.json from another program's: save writes all of these members, always.
func isState(text []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return false
	}
	for _, name := range []string{"data", "postgres", "rabbitmq", "daemon"} {
		if _, ok := members[name]; !ok {
			return false
		}
	}
	return true
}

func readIfThere(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// remove deletes what is written, then the directories if they are empty, and says what was stopped before and what is left.
func (h *home) remove(stopped []string) error {
	data := or(h.state.Data, h.path("data"))
	err := errors.Join(removeNames(data, writtenData), removeIfEmpty(data), removeIfEmpty(h.path(backups)), removeNames(h.dir, written), removeIfEmpty(h.dir))
	if err != nil {
		return err
	}
	did := "removed " + h.dir
	if len(stopped) > 0 {
		did = "stopped " + strings.Join(stopped, ", ") + "; " + did
	}
	if kept := h.path(backups); len(leftIn(kept)) > 0 {
		did += fmt.Sprintf("; backups of the event store stay in %s: `rm -r '%s'` removes them", kept, strings.ReplaceAll(kept, "'", `'\''`))
	}
	left := slices.DeleteFunc(leftIn(h.dir), func(path string) bool { return path == h.path(backups) })
	if data != h.path("data") {
		left = append(leftIn(data), left...)
	}
	if len(left) > 0 {
		did += "; what is not Annal's stays: " + strings.Join(left, ", ")
	}
	say("%s", did)
	return nil
}

func removeNames(dir string, names []string) error {
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(globLiteral(dir), name))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// globLiteral takes from a directory's name what a pattern would mean by it.
func globLiteral(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func removeIfEmpty(dir string) error {
	if len(leftIn(dir)) > 0 {
		return nil
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// leftIn names what is in dir, nothing if dir is gone.
func leftIn(dir string) []string {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range found {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}
