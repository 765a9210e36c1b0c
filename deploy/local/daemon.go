package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// drain is how long annald may take to finish what it began (its own deadline is 20 s).
const drain = 30 * time.Second

// foreground is `make run`: it stays until a signal or the daemon's end.
func foreground(ctx context.Context, h *home) error {
	began := time.Now()
	if err := launch(ctx, h, began, "Ctrl-C drains"); err != nil {
		return err
	}
	daemon := h.state.Daemon
	for daemon.alive() {
		if pause(ctx, 300*time.Millisecond) != nil {
			say("draining")
			return h.locked(context.WithoutCancel(ctx), h.stopDaemon)
		}
	}
	return h.locked(ctx, h.explainEnd)
}

// explainEnd tells a `make stop` in another terminal, which clears the record, from a daemon that died.
func (h *home) explainEnd(context.Context) error {
	if h.state.Daemon.PID == 0 {
		say("stopped")
		return nil
	}
	return fmt.Errorf("annald ended by itself; the end of %s:\n%s", h.path("annald.log"), tail(h.path("annald.log"), 15))
}

// background is `make start`: the same, but it leaves the daemon behind.
func background(ctx context.Context, h *home) error {
	return launch(ctx, h, time.Now(), "`make stop` drains")
}

func launch(ctx context.Context, h *home, began time.Time, how string) error {
	built := make(chan error, 1)
	go func() { built <- loud(exec.CommandContext(ctx, "go", "build", "-o", "bin/", "./cmd/...")) }()
	err := h.locked(ctx, func(ctx context.Context) error {
		err := h.refuseSecond()
		if err == nil {
			err = h.startServers(ctx)
		}
		if err := errors.Join(err, <-built); err != nil {
			return err
		}
		return h.startDaemon(ctx)
	})
	if err != nil {
		return err
	}
	if err := seed(ctx, h); err != nil {
		return errors.Join(err, h.locked(context.WithoutCancel(ctx), h.stopDaemon))
	}
	printWelcome(h)
	say("ready after %.1f s; %s", time.Since(began).Seconds(), how)
	return nil
}

func (h *home) refuseSecond() error {
	if h.state.Daemon.alive() {
		return fmt.Errorf("annald of this home runs already as process %d: `make stop` ends it", h.state.Daemon.PID)
	}
	return nil
}

func (h *home) startDaemon(ctx context.Context) error {
	if err := h.addressesFree(); err != nil {
		return err
	}
	log, err := os.OpenFile(h.path("annald.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the daemon has its own descriptor of it
	binary, err := filepath.Abs("bin/annald")
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "--roles", or(os.Getenv("ROLES"), "all"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us; we ask the daemon to drain
	cmd.Env, err = h.daemonEnv()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the daemon, or with us
	h.state.Daemon = identify(cmd.Process.Pid)
	if err := h.save(); err != nil {
		return err
	}
	return h.awaitReady(ctx, ended)
}

// addressesFree refuses before the start what annald would refuse after it: else a stranger on our port could answer
// /readyz in its place.
func (h *home) addressesFree() error {
	for _, a := range [][2]string{
		{"ANNAL_HTTP_LISTEN", "127.0.0.1:8080"}, {"ANNAL_ADMIN_LISTEN", "127.0.0.1:8081"}, {"ANNAL_EVENTSTORE_LISTEN", "127.0.0.1:2113"},
	} {
		l, err := net.Listen("tcp", h.listen(a[0], a[1]))
		if err != nil {
			return fmt.Errorf("%s can't be listened on: set %s to another address (%w)", h.listen(a[0], a[1]), a[0], err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (h *home) awaitReady(ctx context.Context, ended <-chan error) error {
	url := "http://" + h.listen("ANNAL_HTTP_LISTEN", "127.0.0.1:8080") + "/readyz"
	for until := time.Now().Add(60 * time.Second); time.Now().Before(until); {
		select {
		case err := <-ended:
			return errors.Join(fmt.Errorf("annald does not start; the end of %s:\n%s", h.path("annald.log"), tail(h.path("annald.log"), 15)), err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), h.stopDaemon(context.WithoutCancel(ctx)))
		case <-time.After(100 * time.Millisecond):
		}
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.Join(fmt.Errorf("annald is not ready within 60 s; see %s and %s?verbose", h.path("annald.log"), url), h.stopDaemon(ctx))
}

// daemonEnv is ours, with the servers of this home. ANNAL_EVENTSTORE_URL goes along only if the caller set it: without
// it annald uses its embedded store.
func (h *home) daemonEnv() ([]string, error) {
	addresses, err := h.addresses()
	if err != nil {
		return nil, err
	}
	env := []string{"ANNAL_HOME=" + h.dir, "ANNAL_MODE=" + or(os.Getenv("ANNAL_MODE"), "development")}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "ANNAL_HOME=") && !strings.HasPrefix(pair, "ANNAL_MODE=") {
			env = append(env, pair)
		}
	}
	for _, a := range addresses {
		if a[0] == "ANNAL_POSTGRES_URL" || a[0] == "ANNAL_RABBITMQ_URL" {
			env = append(env, a[0]+"="+a[1])
		}
	}
	return env, nil
}

func (h *home) listen(name, otherwise string) string { return or(os.Getenv(name), otherwise) }

func (h *home) stopDaemon(context.Context) error {
	if err := h.state.Daemon.end(syscall.SIGTERM, drain); err != nil {
		return err
	}
	h.state.Daemon = process{}
	return h.save()
}

func printWelcome(h *home) {
	http, admin := h.listen("ANNAL_HTTP_LISTEN", "127.0.0.1:8080"), h.listen("ANNAL_ADMIN_LISTEN", "127.0.0.1:8081")
	say("")
	say("  GraphQL     http://%s/graphql", http)
	say("  health      http://%s/readyz?verbose", http)
	say("  metrics     http://%s/metrics", admin)
	if os.Getenv("ANNAL_RABBITMQ_URL") == "" {
		say("  RabbitMQ    http://127.0.0.1:%d (user annal, password in %s)", h.state.RabbitMQ.Management, h.path("servers.env"))
	}
	say("  mails       %s", h.path("mail"))
	say("  log         %s", h.path("annald.log"))
	say("")
	if _, err := os.Stat(h.path("tokens.env")); err == nil {
		say("Tokens of a customer, an administrator and a service are in %s. A first query, and a whole session in docs/session.sh:", h.path("tokens.env"))
		say("")
		say("  . %s", h.path("tokens.env"))
		say("  curl -s http://%s/graphql -H \"authorization: Bearer $ADMIN_TOKEN\" -H 'content-type: application/json' \\", http)
		say(`    -d '{"query":"{ orders(first: 3) { nodes { number status placedAt total { amount currencyCode } } } }"}'`)
		say("")
	}
}

func tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), n)
}
