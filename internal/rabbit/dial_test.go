package rabbit

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/reach"
	"github.com/annalhq/annal/internal/testenv"
)

// mute listens, accepts and never says a word of AMQP. Each connection that it took is told.
func mute(t *testing.T) (url string, taken <-chan struct{}) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	connected := make(chan struct{}, 100)
	var accepting sync.WaitGroup
	var conns []net.Conn
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			connected <- struct{}{}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return "amqp://annal:hunter2@" + l.Addr().String() + "/", connected
}

// patient is a broker whose dials outlast every test: only a context or Close ends them.
func patient(t *testing.T, url string) *Broker {
	t.Helper()
	return open(t, url, func(c *Config) { c.DialTimeout = time.Hour })
}

// Whoever waits for a dial waits with his own context; the dial is one, for all.
func TestAProbeOfAMuteBrokerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	url, taken := mute(t)
	b := patient(t, url)
	for name, call := range map[string]func(context.Context) error{
		"Ping":      b.Ping,
		"Declare":   func(ctx context.Context) error { return b.Declare(ctx, testLayout(nil)) },
		"Publisher": func(ctx context.Context) error { _, err := b.Publisher(ctx, 1); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := call(ctx); fault.KindOf(err) != fault.Timeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	<-taken
	if n := len(taken); n != 0 {
		t.Errorf("%d dials more than one were begun", n)
	}
}

// An outage has one beginning and the newest reason, and is over with the next connection.
func TestAnOutageIsToldSinceWhenAndWhy(t *testing.T) {
	t.Parallel()
	why := func(err error) *reach.Error {
		t.Helper()
		var why *reach.Error
		if !errors.As(err, &why) || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("got %v", err)
		}
		return why
	}
	url, _ := mute(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if w := why(patient(t, url).Ping(ctx)); w.Reason != "no answer yet" || w.Since.IsZero() {
		t.Errorf("while the first dial is under way: %v", w)
	}
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Ping(t.Context()))
	ended := b.publish.conn.amqp.NotifyClose(make(chan *amqp.Error, 1))
	b.publish.conn.abort()
	<-ended
	b.publish.mu.Lock()
	b.publish.cfg.URL = "amqp://annal:hunter2@127.0.0.1:1/"
	b.publish.mu.Unlock()
	first := why(b.Ping(t.Context()))
	second := why(b.Ping(t.Context()))
	if first.Reason != "connection refused" || first.Since.IsZero() || !first.Since.Equal(second.Since) || first.Address != "127.0.0.1:1" {
		t.Errorf("%v, then %v", first, second)
	}
	b.publish.mu.Lock()
	b.publish.cfg.URL = testenv.RabbitMQ(t)
	b.publish.mu.Unlock()
	must(t, b.Ping(t.Context()))
	if b.publish.outage.why != nil {
		t.Errorf("it is back, and still %v", b.publish.outage.why)
	}
}

// Closing ends the dial that is under way, and with it whoever waits for it.
func TestClosingDoesNotWaitForADial(t *testing.T) {
	t.Parallel()
	url, taken := mute(t)
	b := patient(t, url)
	bus, err := NewBus(b, BusConfig{Logger: quiet, SendTimeout: time.Hour})
	must(t, err)
	calls := make(chan error, 3)
	for _, call := range []func() error{
		func() error { return b.Ping(context.Background()) },
		func() error { return bus.Send(context.Background(), command("k", "Lost")) },
		func() error {
			_, err := b.Consume(context.Background(), testLayout(nil), "test.q", 1)
			return err
		},
	} {
		go func() { calls <- call() }()
	}
	<-taken // both links
	<-taken
	bus.Close()
	b.Close()
	for range 3 {
		if err := <-calls; !errors.Is(err, ErrLost) {
			t.Errorf("a caller was told %v", err)
		}
	}
	if err := b.Ping(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("after Close: %v", err)
	}
}
