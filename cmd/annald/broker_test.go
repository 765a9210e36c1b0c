package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

// With no broker a daemon is ready and says so; of queues that nobody has seen it claims nothing.
func TestABrokerThatIsAwayIsToldAndClaimedNothingOf(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cfg, away := settings(t), address(t)
	cfg.RabbitMQURL = "amqp://annal:hunter2@" + away + "/"
	d, err := New(ctx, cfg, "eventstore,relay", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	code, text := get(t, "http://"+d.HTTPAddr()+"/readyz?verbose")
	if code != 200 || !strings.Contains(text, "[~]rabbitmq degraded: the broker at "+away+": connection refused, since 2") ||
		!strings.Contains(text, "; see ANNAL_RABBITMQ_URL (BROKER_UNAVAILABLE)") || strings.Contains(text, "[+]rabbitmq") || strings.Contains(text, "hunter2") {
		t.Errorf("readyz: %d %s", code, text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
