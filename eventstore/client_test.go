package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/eventstoretest"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContractWithTheEmbeddedServer(t *testing.T) {
	eventstoretest.Run(t, func(t *testing.T) string { return servertest.Start(t) })
}

// Appends go over one stream that carries the credentials once, other calls carry them each.
func TestContractWithTLSAndUsers(t *testing.T) {
	eventstoretest.Run(t, func(t *testing.T) string {
		return servertest.StartSecured(t, servertest.Someone("shop", "writer")).As("shop")
	})
}

func TestContractWithAStoreOfOnesOwn(t *testing.T) {
	url := os.Getenv("ANNAL_TEST_EVENTSTORE_URL")
	if url == "" {
		t.Skip("ANNAL_TEST_EVENTSTORE_URL names no EventStoreDB")
	}
	eventstoretest.Run(t, func(*testing.T) string { return url })
}

func dial(t testing.TB, url string, cfg eventstore.Config) *eventstore.Client {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := eventstore.Open(url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func event(n int) []eventstore.Event {
	data := fmt.Appendf(nil, `{"n":%d}`, n)
	return []eventstore.Event{{ID: eventstore.EventID(uuid.New(), n, data), Type: "test.happened.v1", Data: data}}
}

// A store that is down for longer than the official client lives (1 s of its own discovery) must be found again by the
// same client: by what is called, and by a subscription that nobody touches.
func TestAClientOutlivesItsStore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := dial(t, store.URL, eventstore.Config{Patience: 100 * time.Millisecond})
	identity, err := c.Identity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan eventstore.Revision, 10)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		if err := c.Subscribe(ctx, 0, eventstore.Filter{}, func(i eventstore.Item) error {
			if i.Event != nil {
				got <- i.Event.Revision
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	for n := range 3 {
		if n > 0 {
			store.Stop()
			for down := time.Now(); time.Since(down) < 1200*time.Millisecond; { // calls all through the outage
				if _, err := c.Append(ctx, "order-1", eventstore.Revision(n-1), event(n)); !errors.Is(err, eventstore.ErrUnavailable) {
					t.Fatalf("while the store is down: %v", err)
				}
				if _, err := c.Head(ctx); !errors.Is(err, eventstore.ErrUnavailable) {
					t.Fatalf("while the store is down: %v", err)
				}
			}
			store.Restart()
		}
		for list := event(n); ; {
			_, err := c.Append(ctx, "order-1", eventstore.Revision(n-1), list)
			if err == nil {
				break
			}
			if !errors.Is(err, eventstore.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if r := <-got; r != eventstore.Revision(n) {
			t.Fatalf("revision %d, want %d", r, n)
		}
	}
	if again, err := c.Identity(ctx); err != nil || again != identity {
		t.Errorf("identity %q, then %q, %v", identity, again, err)
	}
}

// Refusals must be fast while a store is known to be down, whatever they cost at first.
func TestRefusalsAreFastWhileTheStoreIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "esdb://" + listener.Addr().String() + "?tls=false"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, url, eventstore.Config{Patience: time.Millisecond})
	if _, err := c.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatal(err)
	}
	start := time.Now()
	for range 1000 {
		if _, err := c.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("1000 refusals took %v", took)
	}
}

// A peer that takes the connection and says nothing: every call ends by its context or its own bound.
func TestASilentPeerBlocksNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := dial(t, "esdb://"+listener.Addr().String()+"?tls=false", eventstore.Config{ConnectTimeout: 100 * time.Millisecond, Patience: time.Millisecond})
	if _, err := c.Append(t.Context(), "order-1", eventstore.NoStream, event(0)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Head(ctx); fault.KindOf(err) != fault.Timeout && !errors.Is(err, eventstore.ErrUnavailable) {
		t.Error(err)
	}
}

func TestMalformedURLsAreRefusedWithoutTheirPassword(t *testing.T) {
	for _, url := range []string{"", "http://a:1", "esdb://", "esdb://u:hunter2@a:x", "esdb://u:hun/ter2@a:1", "esdb://a:1?tls=perhaps", "esdb://u:hunter2@a:1/path", "esdb://a:1?userCertFile=x"} {
		_, err := eventstore.Open(url, eventstore.Config{})
		if fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "hun") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"esdb://a:1?tls=false", "esdb+discover://a", "esdb://a:1,b:2,c:3?nodePreference=follower", "kurrentdb://a:1", "kurrentdb+discover://a:1"} {
		c, err := eventstore.Open(url, eventstore.Config{})
		if err != nil {
			t.Errorf("%q: %v", url, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Gossip names the node; the client must find it and speak to it.
func TestAClusterIsFoundByGossip(t *testing.T) {
	url := servertest.Start(t)
	for _, form := range []string{strings.Replace(url, "esdb:", "esdb+discover:", 1), strings.Replace(url, "esdb://", "esdb://127.0.0.1:1,", 1)} {
		c := dial(t, form, eventstore.Config{})
		if _, err := c.Append(t.Context(), eventstore.Order.Stream(uuid.NewString()), eventstore.NoStream, event(0)); err != nil {
			t.Errorf("%s: %v", form, err)
		}
	}
}

func TestANilClientAndAClosedOneRefuse(t *testing.T) {
	var none *eventstore.Client
	closed := dial(t, "esdb://127.0.0.1:1?tls=false", eventstore.Config{})
	if err := errors.Join(none.Close(), closed.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*eventstore.Client{none, closed} {
		_, appending := c.Append(t.Context(), "order-1", eventstore.NoStream, event(0))
		_, identity := c.Identity(t.Context())
		_, head := c.Head(t.Context())
		subscribing := c.Subscribe(t.Context(), 0, eventstore.Filter{}, func(eventstore.Item) error { return nil })
		for _, err := range []error{appending, identity, head, subscribing} {
			if !errors.Is(err, eventstore.ErrClosed) {
				t.Error(err)
			}
		}
	}
}
