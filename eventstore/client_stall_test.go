package eventstore_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// A store that took the connection and then falls silent, as a paused process does: calls end by the client's own bounds, with
// a fault that says that the outcome is unknown.
func TestAStoreThatFallsSilentIsNotWaitedForForEver(t *testing.T) {
	url := servertest.Start(t)
	host := strings.TrimSuffix(strings.TrimPrefix(url, "esdb://"), "?tls=false")
	near, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var silent atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { forward(&wg, near, host, &silent) })
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = near.Close() })

	c := dial(t, "esdb://"+near.Addr().String()+"?tls=false", eventstore.Config{AppendTimeout: 200 * time.Millisecond, StallTimeout: 200 * time.Millisecond})
	if _, err := c.Append(t.Context(), "order-1", eventstore.NoStream, event(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	_, appending := c.Append(t.Context(), "order-1", 0, event(1))
	_, head := c.Head(t.Context())
	errs := []error{appending, head}
	for _, err := range c.ReadAll(t.Context(), 0, eventstore.Filter{}) {
		errs = append(errs, err)
	}
	for _, err := range errs {
		if !errors.Is(err, eventstore.ErrTimeout) {
			t.Errorf("%v", err)
		}
	}
}

// forward passes everything on, but swallows the store's answers while silent.
func forward(wg *sync.WaitGroup, near net.Listener, host string, silent *atomic.Bool) {
	for {
		from, err := near.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", host)
		if err != nil {
			_ = from.Close()
			return
		}
		wg.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
		wg.Go(func() { _, _ = io.Copy(muted{from, silent}, to); _ = from.Close() })
	}
}

type muted struct {
	io.Writer
	silent *atomic.Bool
}

func (m muted) Write(b []byte) (int, error) {
	if m.silent.Load() {
		return len(b), nil
	}
	return m.Writer.Write(b)
}
