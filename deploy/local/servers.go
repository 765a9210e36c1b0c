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
		defer telling("compiling; with a cold build cache that takes minutes")()
		compiled <- during(ctx, "compiling", loud(exec.CommandContext(ctx, "go", "build", "./...")))
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
		if err := during(ctx, "starting PostgreSQL", h.startPostgres(ctx, found.postgres)); err != nil {
			return err
		}
	}
	if ownRabbit {
		if err := during(ctx, "starting RabbitMQ", h.startRabbit(ctx, found.rabbit)); err != nil {
			return err
		}
	}
	if err := h.writeEnv(); err != nil {
		return err
	}
	say("%s; the addresses are in %s", whose(ownPostgres, ownRabbit), h.path("servers.env"))
	return nil
}

// whose says which servers we answer for, and which are the caller's: those nobody here has started or looked at.
func whose(ownPostgres, ownRabbit bool) string {
	switch {
	case ownPostgres && ownRabbit:
		return "PostgreSQL and RabbitMQ are up"
	case ownPostgres:
		return "PostgreSQL is up; RabbitMQ is yours, at ANNAL_RABBITMQ_URL"
	case ownRabbit:
		return "RabbitMQ is up; PostgreSQL is yours, at ANNAL_POSTGRES_URL"
	}
	return "PostgreSQL and RabbitMQ are yours, at ANNAL_POSTGRES_URL and ANNAL_RABBITMQ_URL: nothing was started"
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
	listen := h.listen("ANNAL_EVENTSTORE_LISTEN")
	return [][2]string{
		{"ANNAL_POSTGRES_URL", or(os.Getenv("ANNAL_POSTGRES_URL"), h.state.Postgres.url())},
		{"ANNAL_RABBITMQ_URL", rabbit},
		{"ANNAL_RABBITMQ_MANAGEMENT_URL", management},
		{"ANNAL_EVENTSTORE_URL", or(os.Getenv("ANNAL_EVENTSTORE_URL"), "esdb://"+listen+"?tls=false")},
		{"ANNAL_HTTP_LISTEN", h.listen("ANNAL_HTTP_LISTEN")},
		{"ANNAL_ADMIN_LISTEN", h.listen("ANNAL_ADMIN_LISTEN")},
		{"ANNAL_EVENTSTORE_LISTEN", listen},
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
	b.WriteString(envHeader + "; read by internal/testenv and annal; the event store runs inside annald\n")
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
