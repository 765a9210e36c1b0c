package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rabbitState holds four ports, since a broker has four doors: AMQP, management, Erlang's distribution, and epmd, the
// name service of the distribution. All are on loopback.
type rabbitState struct {
	AMQP       int     `json:"amqp,omitempty"`
	Management int     `json:"management,omitempty"`
	Dist       int     `json:"dist,omitempty"`
	Epmd       int     `json:"epmd,omitempty"`
	Password   string  `json:"password,omitempty"`
	Process    process `json:"process"`
}

func (s rabbitState) url() string {
	return fmt.Sprintf("amqp://annal:%s@127.0.0.1:%d/", s.Password, s.AMQP)
}

func (s rabbitState) managementURL() string {
	return fmt.Sprintf("http://annal:%s@127.0.0.1:%d", s.Password, s.Management)
}

// startRabbit leaves a broker behind that answers. One that does not come up over its old data (a power cut can do that
// to a quorum queue) loses the data and is started once more: events are in the store, not here (docs/invariants.md, 11).
func (h *home) startRabbit(ctx context.Context, sbin string) error {
	if answersWithin(ctx, h.state.RabbitMQ.Process, func() bool { return h.rabbitAnswers(ctx) }) {
		return nil
	}
	began := time.Now()
	defer telling("starting RabbitMQ")()
	// Whoever was given so long and does not answer will not drain either.
	if err := errors.Join(h.state.RabbitMQ.Process.end(syscall.SIGTERM, 3*time.Second), h.stopRabbit(ctx)); err != nil {
		return err
	}
	err := h.launchRabbit(ctx, sbin)
	if err != nil && ctx.Err() == nil {
		say("RabbitMQ did not come up; once more with empty data (%v)", err)
		if err := errors.Join(h.stopRabbit(ctx), os.RemoveAll(h.data("rabbitmq"))); err != nil {
			return err
		}
		err = h.launchRabbit(ctx, sbin)
	}
	if err != nil {
		return err
	}
	say("RabbitMQ on 127.0.0.1:%d, management on 127.0.0.1:%d (%.1f s)", h.state.RabbitMQ.AMQP, h.state.RabbitMQ.Management, time.Since(began).Seconds())
	return nil
}

// rabbitAnswers asks for both doors and for our own password: another broker on our port is not ours.
func (h *home) rabbitAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.state.RabbitMQ.managementURL()+"/api/whoami", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && speaksAMQP(h.state.RabbitMQ.AMQP)
}

func (h *home) launchRabbit(ctx context.Context, sbin string) error {
	owner, err := serverUser("rabbitmq")
	if err != nil {
		return err
	}
	if err := h.chooseRabbitPorts(ctx); err != nil {
		return err
	}
	if err := h.configureRabbit(owner); err != nil {
		return err
	}
	// A file left by a killed broker would be taken for this one's.
	if err := os.Remove(h.data("rabbitmq", "pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	console, err := os.OpenFile(h.path("rabbitmq.console"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = console.Close() }() // the broker has its own descriptor of it
	cmd := owner.command(context.WithoutCancel(ctx), h.rabbitEnv(), h.data("rabbitmq"), "/bin/sh", "-c",
		`ulimit -n 65536 2>/dev/null || :; exec "$0" -detached`, filepath.Join(sbin, "rabbitmq-server"))
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Run(); err != nil {
		return h.rabbitFailure("rabbitmq-server: " + err.Error())
	}
	return h.awaitRabbit(ctx)
}

// awaitRabbit remembers the pid as soon as the broker writes it, then waits until it answers or dies.
func (h *home) awaitRabbit(ctx context.Context) error {
	for until := time.Now().Add(90 * time.Second); time.Now().Before(until); {
		// An interruption waits for the pid: a broker that nobody remembers is one that nobody ends.
		err := pause(ctx, 150*time.Millisecond)
		if h.state.RabbitMQ.Process.PID == 0 {
			if err := errors.Join(h.rememberRabbit(), pause(context.WithoutCancel(ctx), 50*time.Millisecond)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if !h.state.RabbitMQ.Process.alive() {
			return h.rabbitFailure("the broker ended while starting")
		}
		if h.rabbitAnswers(ctx) {
			return nil
		}
	}
	return h.rabbitFailure("the broker does not answer within 90 s")
}

func (h *home) rememberRabbit() error {
	text, err := os.ReadFile(h.data("rabbitmq", "pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil { // else it is just being written
		h.state.RabbitMQ.Process = identify(pid)
		return h.save()
	}
	return nil
}

func (h *home) rabbitFailure(what string) error {
	console, err := os.ReadFile(h.path("rabbitmq.console"))
	if err != nil {
		return err
	}
	return fmt.Errorf("RabbitMQ: %s; see %s\n%s", what, h.data("rabbitmq", "log"), lastLines(string(console), 12))
}

func (h *home) chooseRabbitPorts(ctx context.Context) error {
	s := &h.state.RabbitMQ
	for _, port := range []*int{&s.AMQP, &s.Management, &s.Dist, &s.Epmd} {
		kept, err := keepPort(ctx, *port, h.otherPorts(*port)...)
		if err != nil {
			return err
		}
		*port = kept
	}
	return h.save()
}

func (h *home) configureRabbit(owner runner) error {
	dir := h.data("rabbitmq")
	if h.state.RabbitMQ.Password == "" { // the first start, or local.json was lost: old data would know another password
		h.state.RabbitMQ.Password = rand.Text()
		if err := errors.Join(os.RemoveAll(dir), h.save()); err != nil {
			return err
		}
	}
	if err := owner.own(dir); err != nil {
		return err
	}
	// The log of quorum queues is kept in memory up to its size, 512 MB by default: with many queues that alone would raise the memory
	// alarm, which blocks publishers.
	config := fmt.Sprintf(`default_user = annal
default_pass = %s
management.tcp.ip = 127.0.0.1
management.tcp.port = %d
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 67108864
disk_free_limit.absolute = 50MB
log.file.level = warning
`, h.state.RabbitMQ.Password, h.state.RabbitMQ.Management)
	for name, text := range map[string]string{
		"rabbitmq.conf":   config,
		"advanced.config": "[].\n", // else the distribution's own in /etc would be read
		"enabled_plugins": "[rabbitmq_management].\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(writeFile(path, []byte(text), 0o600), owner.give(path)); err != nil {
			return err
		}
	}
	return nil
}

// rabbitEnv is all the environment the broker gets: nothing of /etc/rabbitmq and nothing of the caller's.
func (h *home) rabbitEnv() []string {
	s, dir := h.state.RabbitMQ, h.data("rabbitmq")
	return []string{
		"HOME=" + dir, // the Erlang cookie is made here
		"RABBITMQ_NODENAME=" + h.nodeName(),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(s.AMQP),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(s.Dist),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_CONFIG_FILES=" + filepath.Join(dir, "conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"ERL_EPMD_PORT=" + strconv.Itoa(s.Epmd),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
	}
}

func (h *home) nodeName() string { return "annal-" + h.hash() + "@localhost" }

// otherPorts are this home's ports without the one in question.
func (h *home) otherPorts(own int) []int {
	s := h.state
	all := []int{s.Postgres.Port, s.RabbitMQ.AMQP, s.RabbitMQ.Management, s.RabbitMQ.Dist, s.RabbitMQ.Epmd}
	return slices.DeleteFunc(all, func(port int) bool { return port == own })
}

// stopRabbit drains the broker (SIGTERM is its orderly stop) and ends the epmd that outlives it, by its port. The pid
// file is gone before the process is, hence the remembered pid.
func (h *home) stopRabbit(ctx context.Context) error {
	defer telling("stopping RabbitMQ")()
	if err := h.state.RabbitMQ.Process.end(syscall.SIGTERM, 30*time.Second); err != nil {
		return err
	}
	h.state.RabbitMQ.Process = process{}
	if port := h.state.RabbitMQ.Epmd; port != 0 && !portFree(port) {
		h.stopEpmd(ctx, port)
	}
	return h.save()
}

func (h *home) stopEpmd(ctx context.Context, port int) {
	owner, err := serverUser("rabbitmq")
	if err == nil {
		cmd := owner.command(context.WithoutCancel(ctx), []string{"ERL_EPMD_ADDRESS=127.0.0.1"}, "/", "epmd", "-port", strconv.Itoa(port), "-kill")
		_, err = output(cmd)
	}
	if err != nil { // harmless: the next start draws another port
		say("epmd on port %d does not end: %v", port, err)
	}
}

// breakBroker is what `make demo` and people with doubts call; `servers` mends it.
func (h *home) breakBroker(ctx context.Context, how string) error {
	if !h.state.RabbitMQ.Process.alive() {
		return errors.New("this home has no running broker: run `make servers`")
	}
	if how == "kill" {
		return h.state.RabbitMQ.Process.end(syscall.SIGKILL, 10*time.Second)
	}
	if err := h.stopRabbit(ctx); err != nil {
		return err
	}
	if how == "wipe" {
		return os.RemoveAll(h.data("rabbitmq"))
	}
	return nil
}
