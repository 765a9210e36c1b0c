package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
)

// servers sets the home up. With build, the Go packages are compiled while the package manager works.
func servers(ctx context.Context, h *home, build bool) error {
	compiled := make(chan error, 1)
	go func() {
		if !build {
			compiled <- nil
			return
		}
		compiled <- loud(exec.CommandContext(ctx, "go", "build", "./..."))
	}()
	err := h.locked(ctx, h.startServers)
	return errors.Join(err, <-compiled)
}

// startServers starts what the environment does not name already, both side by side.
func (h *home) startServers(ctx context.Context) error {
	ownPostgres, ownRabbit := os.Getenv("ANNAL_POSTGRES_URL") == "", os.Getenv("ANNAL_RABBITMQ_URL") == ""
	found, err := install(ctx, h.path("install.log"), ownPostgres, ownRabbit)
	if err != nil {
		return err
	}
	if ownPostgres || ownRabbit {
		if err := h.placeData(ctx); err != nil {
			return err
		}
	}
	if ownPostgres {
		if err := h.startPostgres(ctx, found.postgres); err != nil {
			return err
		}
	}
	if ownRabbit {
		if err := h.startRabbit(ctx, found.rabbit); err != nil {
			return err
		}
	}
	if err := h.writeEnv(); err != nil {
		return err
	}
	say("servers are up; their addresses are in %s", h.path("servers.env"))
	return nil
}

// addresses are the settings of servers.env, in its order. What the environment names wins.
func (h *home) addresses() ([][2]string, error) {
	rabbit, management := os.Getenv("ANNAL_RABBITMQ_URL"), os.Getenv("ANNAL_RABBITMQ_MANAGEMENT_URL")
	if rabbit == "" {
		rabbit, management = h.state.RabbitMQ.url(), h.state.RabbitMQ.managementURL()
	}
	if management == "" {
		guessed, err := guessManagement(rabbit)
		if err != nil {
			return nil, err
		}
		management = guessed
	}
	listen := or(os.Getenv("ANNAL_EVENTSTORE_LISTEN"), "127.0.0.1:2113")
	return [][2]string{
		{"ANNAL_POSTGRES_URL", or(os.Getenv("ANNAL_POSTGRES_URL"), h.state.Postgres.url())},
		{"ANNAL_RABBITMQ_URL", rabbit},
		{"ANNAL_RABBITMQ_MANAGEMENT_URL", management},
		{"ANNAL_EVENTSTORE_URL", or(os.Getenv("ANNAL_EVENTSTORE_URL"), "esdb://"+listen+"?tls=false")},
	}, nil
}

// guessManagement takes the same host and password and the standard port.
func guessManagement(amqp string) (string, error) {
	u, err := url.Parse(amqp)
	if err != nil {
		return "", errors.New("ANNAL_RABBITMQ_URL is not a URL") // the parser's error would print the password
	}
	return (&url.URL{Scheme: "http", User: u.User, Host: u.Hostname() + ":15672"}).String(), nil
}

func (h *home) writeEnv() error {
	lines, err := h.addresses()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(envHeader + "; read by internal/testenv; the event store runs inside annald\n")
	for _, line := range lines {
		fmt.Fprintf(&b, "%s=%s\n", line[0], line[1])
	}
	return writeFile(h.path("servers.env"), []byte(b.String()), 0o600)
}

func or(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}
