package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCleanRefusesAPreciousFolder(t *testing.T) {
	for name, file := range map[string]string{
		"photographs":                     "wedding.jpg",
		"another program's local.json":    stateFile,
		"another program's servers.env":   "servers.env",
		"names like ours, without a home": "mail/inbox",
	} {
		t.Run(name, func(t *testing.T) {
			h := homeAt(t, t.TempDir())
			put(t, h.path(file), `{"theme": "dark"}`)
			if err := h.clean(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing was removed") {
				t.Errorf("not refused: %v", err)
			}
			if !exists(h.path(file)) || exists(h.path(lockFile)) {
				t.Error("the folder was touched")
			}
			_ = h.lockedIfThere(t.Context(), h.down) // may refuse; must not make it a home
			if text, err := os.ReadFile(h.path(file)); err != nil || string(text) != `{"theme": "dark"}` || exists(h.path(lockFile)) {
				t.Errorf("down touched it: %s, %v", text, err)
			}
		})
	}
}

func TestCleanRemovesWhatIsOursAndNamesTheRest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [home]*")
	h := homeAt(t, dir)
	ours := []string{
		"annald.log", "install.log", "rabbitmq.console", "tokens.env", "vault.key", "token.key", ".secret-123", "servers.env",
		"eventstore/000001.log", "simulators/payments.jsonl", "mail/1.eml", "imports/ab.json", "data/postgres/PG_VERSION", "data/rabbitmq/pid",
	}
	for _, name := range ours {
		put(t, h.path(name), "x")
	}
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	precious := []string{h.path("thesis.tex"), h.path("data", "measured.csv")}
	for _, path := range precious {
		put(t, path, "years of work")
	}
	clean := func() string {
		return said(t, func() {
			if err := h.clean(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	told := clean()
	for _, path := range precious {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
	for _, name := range append(ours, stateFile, lockFile) {
		if exists(h.path(name)) {
			t.Errorf("%s is still there", name)
		}
	}
	if !strings.Contains(told, h.path("thesis.tex")) || !strings.Contains(told, h.path("data")) || strings.Count(told, "\n") != 1 {
		t.Errorf("%q", told)
	}
}

func TestCleanKeepsBackupsAndSaysHowToRemoveThem(t *testing.T) {
	h := homeAt(t, filepath.Join(t.TempDir(), "a 'home'"))
	put(t, h.path("eventstore/000001.log"), "x")
	put(t, h.path("backups/monday/000001.log"), "x")
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	told := said(t, func() {
		if err := h.clean(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if !exists(h.path("backups/monday/000001.log")) || exists(h.path("eventstore")) {
		t.Error("clean kept the wrong things")
	}
	if again := homeAt(t, h.dir); again.clean(t.Context()) != nil || !exists(h.path("backups/monday/000001.log")) {
		t.Error("a second clean does not find the same")
	}
	_, command, _ := strings.Cut(told, "`")
	command, _, ok := strings.Cut(command, "`")
	if !ok || !strings.Contains(told, "backups of the event store stay in "+h.path("backups")) || strings.Contains(told, "not Annal's") {
		t.Fatalf("%q", told)
	}
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil || exists(h.path("backups")) { //nolint:gosec // the command that was told
		t.Errorf("%s: %v %s", command, err, out)
	}
}

func TestCleanOfAHomeAloneLeavesNothing(t *testing.T) {
	h := homeAt(t, filepath.Join(t.TempDir(), "home"))
	run := func() string {
		return said(t, func() {
			if err := h.clean(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if told := run(); !strings.Contains(told, "does not exist") || exists(h.dir) {
		t.Errorf("a missing one: %q", told)
	}
	if err := os.Mkdir(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if told := run(); told != "removed "+h.dir+"\n" || exists(h.dir) {
		t.Errorf("an empty one: %q", told)
	}
	put(t, h.path("servers.env"), envHeader+"; read by tests\n")
	elsewhere := filepath.Join(t.TempDir(), "annal-0123456789") // as below /var/tmp
	put(t, filepath.Join(elsewhere, "postgres", "PG_VERSION"), "15")
	h.state.Data = elsewhere
	h.state.Daemon = sleeper(t)
	if err := h.save(); err != nil {
		t.Fatal(err)
	}
	if told := run(); told != "stopped annald; removed "+h.dir+"\n" || exists(h.dir) || exists(elsewhere) {
		t.Errorf("a whole one: %q", told)
	}
}

// bin is shared by all homes of a clone.
func TestMakeCleanRemovesBinOnlyWithTheDefaultHome(t *testing.T) {
	program, err := exec.LookPath("make")
	if err != nil {
		t.Skip("no make here")
	}
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for home, gone := range map[string]bool{"": true, ".annal": true, dir + "/.annal": true, "/elsewhere": false, ".annal2": false} {
		put(t, filepath.Join(dir, "bin", "annald"), "x")
		cmd := exec.CommandContext(t.Context(), program, "-f", makefile, "-C", dir, "LOCAL=:", "clean")
		cmd.Env = append(os.Environ(), "ANNAL_HOME="+home)
		if out, err := cmd.CombinedOutput(); err != nil || exists(filepath.Join(dir, "bin")) == gone {
			t.Errorf("ANNAL_HOME=%s: bin is there: %v; %v %s", home, !gone, err, out)
		}
	}
}

// Root's servers run as users of their own, whom a closed folder keeps out: their data goes elsewhere, and nothing of it stays behind.
func TestACleanOfAClosedHomeLeavesNothing(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	h := homeAt(t, filepath.Join(closed, "home"))
	var data string
	told := said(t, func() {
		err := h.locked(t.Context(), func(ctx context.Context) error {
			defer func() { data = h.state.Data }()
			return h.placeData(ctx)
		})
		if err == nil {
			err = h.clean(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	})
	if elsewhere := data != h.path("data"); elsewhere != (os.Geteuid() == 0) {
		t.Errorf("the data was at %s", data)
	}
	if exists(data) || exists(h.dir) || strings.Contains(told, "stays") {
		t.Errorf("left: %s %v, %s %v: %s", data, exists(data), h.dir, exists(h.dir), told)
	}
}
