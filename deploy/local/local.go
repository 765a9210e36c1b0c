// Command local runs Annal's own PostgreSQL and RabbitMQ on this machine, for `make run` and `make test`.
//
// They are private instances: own data directory, own free ports, loopback only, passwords drawn at the first start.
// Servers that run already are never touched, and two homes (ANNAL_HOME) do not know of each other. The programs are
// those of the distribution; what is missing is installed by its package manager, after saying so (install.go).
//
//	local servers [--build]   install what is missing, start both, write $ANNAL_HOME/servers.env; does nothing if they run
//	local run                 servers, build, migrate, annald with all roles in the foreground, until Ctrl-C
//	local start | stop        the same in the background | drain and end it
//	local down                stop annald and both servers; the data stays
//	local clean               down, then remove what was written (clean.go); a directory that is no home is refused
//	local env                 print servers.env
//	local config              print the settings that run and start give annald, secrets left out
//	local broker kill|stop|wipe   faults for `make demo`: kill -9, stop, stop and delete its data; `servers` starts it again
//
// Invariants: one caller at a time changes a home (a lock file, local.lock); a process is only ever signalled if its pid
// and its start time are those recorded (process.go), so a stale record ends nobody else's process; what is written to
// disk is written aside and renamed, so a crash of this program at any line is repaired by the next call. The broker's
// data is never precious (docs/invariants.md, 11): a broker that does not come up is wiped and started once more. PostgreSQL's is never
// deleted except by `clean`.
//
// ANNAL_POSTGRES_URL and ANNAL_RABBITMQ_URL in the environment name servers of one's own: then nothing is installed or
// started in their place. ROLES gives annald other roles than all. Every failure ends the program with exit status 1 and one line that says what to do; so does a
// signal (interrupt.go), with the exit status that a shell gives it. A signal to `local run` drains annald and is no failure once it was ready.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/annalhq/annal/internal/config"
)

const usage = "usage: local servers [--build] | run | start | stop | down | clean | env | config | broker kill|stop|wipe"

func main() {
	ctx, stop := untilSignal(context.Background())
	err := dispatch(ctx, os.Args[1:])
	var by signalled
	status := 1
	if errors.As(context.Cause(ctx), &by) {
		status = by.status()
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(status)
	}
}

func dispatch(ctx context.Context, args []string) error {
	home, err := openHome(os.Getenv("ANNAL_HOME"))
	if err != nil {
		return err
	}
	return home.explain(ctx, strings.Join(args, " "), home.do(ctx, args))
}

func (h *home) do(ctx context.Context, args []string) error {
	switch strings.Join(args, " ") {
	case "servers":
		return servers(ctx, h, false)
	case "servers --build":
		return servers(ctx, h, true)
	case "run":
		return foreground(ctx, h)
	case "start":
		return background(ctx, h)
	case "stop":
		return h.lockedIfThere(ctx, h.stop)
	case "down":
		return h.lockedIfThere(ctx, h.down)
	case "clean":
		return h.clean(ctx)
	case "env":
		return printEnv(h)
	case "config":
		return printConfig(h)
	case "broker kill", "broker stop", "broker wipe":
		return h.locked(ctx, func(ctx context.Context) error { return h.breakBroker(ctx, args[1]) })
	}
	return fmt.Errorf("unknown command %q\n%s", strings.Join(args, " "), usage)
}

func printEnv(h *home) error {
	text, err := os.ReadFile(h.path("servers.env"))
	if err != nil {
		return fmt.Errorf("no servers are set up here: run `make servers` (%w)", err)
	}
	_, err = os.Stdout.Write(text)
	return err
}

// printConfig prints what annald would be given. `annald --print-config` prints what the caller's own environment gives, without the servers of
// this home.
func printConfig(h *home) error {
	if err := h.load(); err != nil {
		return err
	}
	if h.state.Postgres.Port == 0 && os.Getenv("ANNAL_POSTGRES_URL") == "" || h.state.RabbitMQ.AMQP == 0 && os.Getenv("ANNAL_RABBITMQ_URL") == "" {
		return errors.New("no servers are set up here: run `make servers`")
	}
	env, err := h.daemonEnv()
	if err != nil {
		return err
	}
	cfg, err := config.Parse(env)
	if err != nil {
		return err
	}
	_, err = fmt.Print(cfg)
	return err
}
