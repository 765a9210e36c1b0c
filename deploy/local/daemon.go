package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/annalhq/annal/internal/config"
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
	var how error
	select {
	case how = <-h.ended:
	case <-ctx.Done():
		say("draining")
		return h.locked(context.WithoutCancel(ctx), h.stop)
	}
	if _, err := os.Stat(h.dir); errors.Is(err, fs.ErrNotExist) { // a `make clean` elsewhere
		say("stopped")
		return nil
	}
	return h.locked(ctx, func(context.Context) error { return h.explainEnd(daemon, how) })
}

// explainEnd tells a `make stop` in another terminal, which clears the record, from a daemon that died. What is told here is
// not told again by the next call.
func (h *home) explainEnd(daemon process, how error) error {
	if h.state.Daemon != daemon {
		say("stopped")
		return nil
	}
	h.state.Daemon = process{}
	return errors.Join(fmt.Errorf("annald %s; %s", ending(how), h.logEnd()), h.save())
}

// ending says in words how annald ended, from what waiting for it returned.
func ending(how error) string {
	var exit *exec.ExitError
	if !errors.As(how, &exit) {
		return "ended by itself"
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return "was ended from outside by SIGKILL (kill -9, or the kernel for want of memory: `dmesg` says so)"
	case ok && status.Signaled():
		return fmt.Sprintf("was ended from outside by signal %d (%s)", int(status.Signal()), status.Signal())
	}
	return fmt.Sprintf("ended by itself with exit status %d", exit.ExitCode())
}

// tellGone says that the annald of an earlier call is not there any more although nobody stopped it here.
func (h *home) tellGone() {
	say("annald of the last start (process %d) was gone already: killed, ended by itself, or the machine was started anew; the end of %s may say more",
		h.state.Daemon.PID, h.path("annald.log"))
}

// logEnd is what annald has said since this start.
func (h *home) logEnd() string {
	path := h.path("annald.log")
	text := tail(path, h.logFrom, 15)
	if text == "" {
		return "it wrote nothing to " + path
	}
	return fmt.Sprintf("the end of %s:\n%s", path, text)
}

// background is `make start`: the same, but it leaves the daemon behind.
func background(ctx context.Context, h *home) error {
	return launch(ctx, h, time.Now(), "`make stop` drains")
}

func launch(ctx context.Context, h *home, began time.Time, how string) error {
	err := h.locked(ctx, func(ctx context.Context) error {
		// What would be refused in the end is refused before anything is started.
		if err := h.refuseSecond(); err != nil {
			return err
		}
		if h.state.Daemon.PID != 0 {
			h.tellGone()
		}
		if err := h.preflight(); err != nil {
			return err
		}
		built := make(chan error, 1)
		go func() { built <- build(ctx) }()
		if err := errors.Join(h.startServers(ctx), <-built); err != nil {
			return err
		}
		return h.startDaemon(ctx)
	})
	if err != nil {
		return err
	}
	if err := seed(ctx, h); err != nil {
		say("ending annald")
		return errors.Join(err, h.locked(context.WithoutCancel(ctx), h.stopDaemon))
	}
	printWelcome(h)
	say("ready after %.1f s; %s", time.Since(began).Seconds(), how)
	return nil
}

// build makes the programs.
func build(ctx context.Context) error {
	defer telling("building annald and annal; with a cold build cache that takes minutes")()
	return during(ctx, "building", loud(exec.CommandContext(ctx, "go", "build", "-o", "bin/", "./cmd/...")))
}

func (h *home) refuseSecond() error {
	if h.state.Daemon.alive() {
		return fmt.Errorf("annald of this home runs already as process %d: `make stop` ends it", h.state.Daemon.PID)
	}
	return nil
}

func (h *home) startDaemon(ctx context.Context) error {
	// Once more: the servers have drawn ports since, and a stranger on ours could answer /readyz in annald's place.
	if err := h.preflight(); err != nil {
		return err
	}
	log, err := os.OpenFile(h.path("annald.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the daemon has its own descriptor of it
	info, err := log.Stat()
	if err != nil {
		return err
	}
	h.logFrom = info.Size()
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
	go func() { ended <- cmd.Wait(); close(ended) }() // ends with the daemon, or with us
	h.ended = ended
	h.state.Listening = map[string]string{}
	for name := range listens {
		h.state.Listening[name] = h.listen(name)
	}
	h.state.Daemon = identify(cmd.Process.Pid)
	if err := h.save(); err != nil {
		return err
	}
	return h.awaitReady(ctx)
}

// preflight refuses before the start what annald would refuse after it: settings and addresses, all that are wrong at once.
func (h *home) preflight() error {
	env, err := h.daemonEnv()
	if err != nil {
		return err
	}
	cfg, err := config.Parse(env)
	if err != nil {
		return err
	}
	wanted := [][2]string{{"ANNAL_HTTP_LISTEN", cfg.HTTPListen}, {"ANNAL_ADMIN_LISTEN", cfg.AdminListen}}
	if cfg.StoreIsEmbedded() {
		wanted = append(wanted, [2]string{"ANNAL_EVENTSTORE_LISTEN", cfg.EventStoreListen})
	}
	// A daemon that was killed a moment ago holds its addresses until the kernel is done with it.
	for range 20 {
		if err = addressesFree(wanted); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// addressesFree takes pairs of a setting and its address. All are held to the end, so two that are the same are found too.
func addressesFree(wanted [][2]string) error {
	var held []net.Listener
	var errs []error
	for _, w := range wanted {
		if strings.HasSuffix(w[1], ":0") { // annald takes it, and nobody would know where it listens
			errs = append(errs, fmt.Errorf("%s=%s: name a port", w[0], w[1]))
			continue
		}
		l, err := net.Listen("tcp", w[1])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s can't be listened on: set %s to another address (%w)", w[1], w[0], err))
			continue
		}
		held = append(held, l)
	}
	for _, l := range held {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (h *home) awaitReady(ctx context.Context) error {
	url := "http://" + h.listen("ANNAL_HTTP_LISTEN") + "/readyz"
	defer telling("waiting until annald is ready")()
	for until := time.Now().Add(60 * time.Second); time.Now().Before(until); {
		select {
		case how := <-h.ended:
			h.state.Daemon = process{}
			return errors.Join(fmt.Errorf("annald does not start: it %s; %s", ending(how), h.logEnd()), h.save())
		case <-ctx.Done():
			return errors.Join(during(ctx, "starting annald", ctx.Err()), h.stopDaemon(context.WithoutCancel(ctx)))
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

// listens are annald's addresses and their defaults, those of internal/config.
var listens = map[string]string{
	"ANNAL_HTTP_LISTEN": "127.0.0.1:8080", "ANNAL_ADMIN_LISTEN": "127.0.0.1:8081", "ANNAL_EVENTSTORE_LISTEN": "127.0.0.1:2113",
}

// listen is where annald listens: the one that runs, whoever started it with whatever environment, or the next one.
func (h *home) listen(name string) string {
	if at := h.state.Listening[name]; at != "" && h.state.Daemon.alive() {
		return at
	}
	return or(os.Getenv(name), listens[name])
}

func (h *home) stopDaemon(context.Context) error {
	defer telling("draining annald")()
	if err := h.state.Daemon.end(syscall.SIGTERM, drain); err != nil {
		return err
	}
	h.state.Daemon = process{}
	return h.save()
}

func printWelcome(h *home) {
	http, admin := h.listen("ANNAL_HTTP_LISTEN"), h.listen("ANNAL_ADMIN_LISTEN")
	say("")
	say("  GraphQL     http://%s/graphql", http)
	say("  GraphiQL    http://%s/graphiql (the API in a browser)", http)
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

// tail is the last n lines of what stands in the file behind its first bytes.
func tail(path string, from int64, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text[min(from, int64(len(text))):]), n)
}
