package main

import (
	"context"
	"crypto/rand"
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

type postgresState struct {
	Port     int     `json:"port,omitempty"`
	Password string  `json:"password,omitempty"`
	Created  bool    `json:"created,omitempty"` // the database annal exists
	Process  process `json:"process"`
}

func (s postgresState) url() string {
	return fmt.Sprintf("postgres://annal:%s@127.0.0.1:%d/annal?sslmode=disable", s.Password, s.Port)
}

// startPostgres leaves a server behind that answers, whatever state it finds: none, stopped, running, killed.
func (h *home) startPostgres(ctx context.Context, bin string) error {
	owner, err := serverUser("postgres")
	if err != nil {
		return err
	}
	if answersWithin(ctx, h.state.Postgres.Process, func() bool { return h.postgresAnswers(ctx, owner, bin) }) {
		return nil
	}
	began := time.Now()
	defer telling("starting PostgreSQL")()
	// A server that lives and does not answer (stopped by a signal, out of memory) must be gone before the next one.
	if err := h.state.Postgres.Process.end(syscall.SIGINT, 20*time.Second); err != nil {
		return err
	}
	if err := h.initPostgres(ctx, owner, bin); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := h.launchPostgres(ctx, owner, bin)
		if err == nil {
			break
		}
		// After kill -9 the old server's children hold its shared memory for a moment; a port can be lost between choice and use.
		if attempt == 5 || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, time.Duration(attempt)*time.Second); err != nil {
			return err
		}
	}
	if err := h.createDatabase(ctx, owner, bin); err != nil {
		return err
	}
	say("PostgreSQL on 127.0.0.1:%d (%.1f s)", h.state.Postgres.Port, time.Since(began).Seconds())
	return nil
}

func (h *home) postgresAnswers(ctx context.Context, owner runner, bin string) bool {
	return owner.command(ctx, nil, "/", filepath.Join(bin, "pg_isready"), "-q", "-t", "3",
		"-h", "127.0.0.1", "-p", strconv.Itoa(h.state.Postgres.Port)).Run() == nil
}

// initPostgres makes the data directory aside and renames it: a half-made one is never mistaken for a whole one.
func (h *home) initPostgres(ctx context.Context, owner runner, bin string) error {
	final, aside := h.data("postgres"), h.data("postgres.new")
	if version, err := os.ReadFile(filepath.Join(final, "PG_VERSION")); err == nil {
		if have := strings.TrimSpace(string(version)); have != majorOf(ctx, bin) {
			return fmt.Errorf("%s was made by PostgreSQL %s and %s holds %s: `make clean` starts afresh", final, have, bin, majorOf(ctx, bin))
		}
		if h.state.Postgres.Password == "" {
			return fmt.Errorf("the password of %s is not in %s any more: `make clean` starts afresh", final, h.path("local.json"))
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := owner.own(aside); err != nil {
		return err
	}
	h.state.Postgres = postgresState{Password: rand.Text()}
	if err := h.save(); err != nil {
		return err
	}
	passfile := h.data("postgres.password")
	if err := errors.Join(writeFile(passfile, []byte(h.state.Postgres.Password), 0o600), owner.give(passfile)); err != nil {
		return err
	}
	_, err := output(owner.command(ctx, nil, "/", filepath.Join(bin, "initdb"), "-D", aside, "-U", "annal", "--pwfile", passfile,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"))
	if err := errors.Join(err, os.Remove(passfile)); err != nil {
		return err
	}
	return os.Rename(aside, final)
}

func majorOf(ctx context.Context, bin string) string {
	out, err := output(runner{}.command(ctx, nil, "/", filepath.Join(bin, "postgres"), "--version"))
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strconv.Itoa(versionIn(out))
}

func (h *home) launchPostgres(ctx context.Context, owner runner, bin string) error {
	dir := h.data("postgres")
	if err := dropStalePidFile(dir); err != nil {
		return err
	}
	port, err := keepPort(ctx, h.state.Postgres.Port, h.otherPorts(h.state.Postgres.Port)...)
	if err != nil {
		return err
	}
	h.state.Postgres.Port = port
	if err := h.save(); err != nil {
		return err
	}
	logfile := filepath.Join(dir, "server.log")
	options := fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories='' -c max_connections=300 "+
		"-c shared_buffers=128MB -c max_wal_size=1GB -c log_min_messages=warning -c timezone=UTC", port)
	// Whatever interrupts us, a server that was begun is recorded, so that somebody can end it.
	_, err = output(owner.command(context.WithoutCancel(ctx), nil, "/", filepath.Join(bin, "pg_ctl"), "-D", dir, "-l", logfile, "-o", options, "-w", "-t", "60", "start"))
	if err != nil {
		log, rerr := os.ReadFile(logfile)
		return errors.Join(fmt.Errorf("PostgreSQL does not start: %w\n%s", err, lastLines(string(log), 8)), rerr)
	}
	pid, err := postmasterPid(dir)
	if err != nil {
		return err
	}
	h.state.Postgres.Process = identify(pid)
	return h.save()
}

func postmasterPid(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(strings.TrimSpace(first))
}

// dropStalePidFile removes a pid file whose pid was given to another program since (after a crash in a container, where
// pids are small): PostgreSQL would refuse to start for it. A pid that does not exist it handles itself, and what may be
// a server over this directory is left to it.
func dropStalePidFile(dir string) error {
	pid, err := postmasterPid(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		pid = 0 // cut short by a crash
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil && pid != 0 {
		return nil // no such process, or no /proc
	}
	if strings.Contains(string(cmdline), "postgres") {
		return nil
	}
	return os.Remove(filepath.Join(dir, "postmaster.pid"))
}

func (h *home) createDatabase(ctx context.Context, owner runner, bin string) error {
	if h.state.Postgres.Created {
		return nil
	}
	_, err := output(owner.command(ctx, []string{"PGPASSWORD=" + h.state.Postgres.Password}, "/", filepath.Join(bin, "createdb"),
		"-h", "127.0.0.1", "-p", strconv.Itoa(h.state.Postgres.Port), "-U", "annal", "annal"))
	if err != nil && !strings.Contains(err.Error(), "already exists") { // made by a run that ended before it was recorded
		return err
	}
	h.state.Postgres.Created = true
	return h.save()
}

func (h *home) stopPostgres(context.Context) error {
	defer telling("stopping PostgreSQL")()
	// SIGINT is PostgreSQL's fast shutdown: sessions are ended, a checkpoint is written.
	if err := h.state.Postgres.Process.end(syscall.SIGINT, 30*time.Second); err != nil {
		return err
	}
	h.state.Postgres.Process = process{}
	return h.save()
}
