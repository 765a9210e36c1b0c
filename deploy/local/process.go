package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is somebody we may signal: a pid alone may have been given to another program since.
type process struct {
	PID     int    `json:"pid,omitempty"`
	Started string `json:"started,omitempty"`
}

func identify(pid int) process { return process{PID: pid, Started: startOf(pid)} }

// alive reports whether the very process that was recorded still runs (a zombie does not).
func (p process) alive() bool {
	return p.PID > 0 && p.Started != "" && startOf(p.PID) == p.Started
}

// startOf returns when pid began, in a form only fit for comparison, empty if there is no such process.
func startOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if _, err := os.Stat("/proc/self/stat"); err == nil {
			return ""
		}
		out, _ := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output() // no /proc: macOS; exit 1 is "none"
		return strings.TrimSpace(string(out))
	}
	// proc(5): the second field is the program in parentheses and may hold anything; state is the third, starttime the 22nd.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return bootID() + "/" + fields[19]
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// adopt recognises our servers that run unrecorded: whoever started them was killed before it could write that down. Without it a second one
// would be started over the same data, and nobody would end the first.
func (h *home) adopt() {
	for _, server := range []struct {
		record       *process
		pidfile, dir string
	}{
		{&h.state.Postgres.Process, h.data("postgres", "postmaster.pid"), h.data("postgres")},
		{&h.state.RabbitMQ.Process, h.data("rabbitmq", "pid"), h.data("rabbitmq")},
	} {
		if h.state.Data == "" || server.record.alive() {
			continue
		}
		if pid := pidIn(server.pidfile); pid > 0 && hasArgument(pid, server.dir) {
			*server.record = identify(pid)
		}
	}
}

// pidIn reads the first line of a pid file, 0 if there is none.
func pidIn(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return 0 // just being written, or cut short by a crash
	}
	return pid
}

// hasArgument tells our server from another process with its pid: both servers are started with their directory as a word of their command
// line. Where there is no /proc nobody is adopted.
func hasArgument(pid int, word string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.Contains(strings.Split(string(cmdline), "\x00"), word)
}

// end asks by sig, waits, and insists by SIGKILL. It returns when the process is gone.
func (p process) end(sig syscall.Signal, patience time.Duration) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	if p.gone(patience) {
		return nil
	}
	say("process %d does not end; killing it", p.PID)
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing process %d: %w", p.PID, err)
	}
	if !p.gone(10 * time.Second) {
		return fmt.Errorf("process %d survives SIGKILL", p.PID)
	}
	return nil
}

func (p process) gone(patience time.Duration) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if !p.alive() {
			return true
		}
	}
	return !p.alive()
}

// answersWithin gives a recorded process time to answer: on a busy machine a healthy server may be slow, and other
// people's tests run against it.
func answersWithin(ctx context.Context, p process, answers func() bool) bool {
	for until := time.Now().Add(20 * time.Second); p.alive() && time.Now().Before(until); {
		if answers() {
			return true
		}
		if pause(ctx, 500*time.Millisecond) != nil {
			return false
		}
	}
	return false
}

// A runner is the user that a server runs as: ourselves, or, called by root, the user its package made for it.
type runner struct {
	name string
	cred *syscall.Credential // nil: ourselves
}

// serverUser returns who runs the server. Root falls back on nobody where the package made no user.
func serverUser(name string) (runner, error) {
	if os.Geteuid() != 0 {
		return runner{name: "this user"}, nil
	}
	for _, candidate := range []string{name, "_" + name, "nobody"} {
		u, err := user.Lookup(candidate)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return runner{}, err
		}
		return runner{candidate, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return runner{}, fmt.Errorf("neither the user %s nor nobody exists: the servers can't run as root", name)
}

// own makes the directory and gives it to the runner alone.
func (r runner) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return r.give(dir)
}

func (r runner) give(path string) error {
	if r.cred == nil {
		return nil
	}
	return os.Lchown(path, int(r.cred.Uid), int(r.cred.Gid))
}

func (r runner) canEnter(ctx context.Context, dir string) bool {
	return r.command(ctx, nil, "/", "/bin/sh", "-c", `cd -- "$0" && ls >/dev/null`, dir).Run() == nil
}

// command prepares a program with exactly the environment given, in a session of its own: a Ctrl-C on our terminal is ours.
func (r runner) command(ctx context.Context, env []string, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: r.cred}
	return cmd
}

// output runs a short program and puts what it said into the error.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", cmd.Path, err, lastLines(text, 12))
	}
	return text, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
