package rabbit

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, url string, change ...func(*Config)) *Broker {
	t.Helper()
	cfg := Config{URL: url}
	for _, f := range change {
		f(&cfg)
	}
	b, err := Open(cfg)
	must(t, err)
	t.Cleanup(b.Close)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, ctx context.Context, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func testLayout(args map[string]any) Layout {
	return Layout{
		Exchanges: []Exchange{{"test", "direct"}},
		Queues:    []Queue{{"test.q", args}},
		Bindings:  []Binding{{From: "test", Key: "k", To: "test.q"}},
	}
}

func TestTheWholeTopologyIsDeclaredAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), Topology()))
	must(t, b.Declare(t.Context(), Topology()))
}

func TestAQueueWithOtherArgumentsIsNamed(t *testing.T) {
	t.Parallel()
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum", "x-max-length": int64(5)})))
	err := b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum", "x-max-length": int64(6)}))
	if !errors.Is(err, ErrTopology) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"test.q", "x-max-length", "rabbitmqctl delete_queue"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if got := b.Mismatch(); !errors.Is(got, ErrTopology) {
		t.Errorf("readiness is not told: %v", got)
	}
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum", "x-max-length": int64(5)})))
	if got := b.Mismatch(); got != nil {
		t.Errorf("after it was mended: %v", got)
	}
}

func TestALoginThatIsRefusedSaysSoWithoutThePassword(t *testing.T) {
	t.Parallel()
	url := testenv.RabbitMQ(t)
	at, scheme := strings.Index(url, "@"), strings.Index(url, "//")
	b := open(t, url[:scheme+2]+"nobody:hunter2"+url[at:])
	err := b.Ping(t.Context())
	if !errors.Is(err, ErrLogin) || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
	if _, err := Open(Config{URL: "http://u:hunter2@x"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
}

func TestAPublisherTellsConfirmedReturnedAndRefusedApart(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum", "x-max-length": int64(1), "x-overflow": "reject-publish"})))
	p, err := b.Publisher(t.Context(), 8)
	must(t, err)
	defer p.Close()
	results := make(chan error, 1)
	publish := func(key string) error {
		must(t, p.Publish(ctx, Message{Exchange: "test", Key: key, Mandatory: true, ID: uuid.NewString()}, func(err error) { results <- err }))
		return <-results
	}
	if err := publish("k"); err != nil {
		t.Errorf("routed: %v", err)
	}
	if err := publish("nowhere"); !errors.Is(err, ErrReturned) {
		t.Errorf("unroutable: %v", err)
	}
	var refused error
	for range 5 { // a quorum queue lets a few pass before it refuses
		refused = publish("k")
	}
	if !errors.Is(refused, ErrNacked) {
		t.Errorf("full: %v", refused)
	}
}

func TestPipelinedConfirmsSettleInOrderAndReturnsHitTheirOwn(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum"})))
	p, err := b.Publisher(t.Context(), 64)
	must(t, err)
	defer p.Close()
	const n = 2000
	var mu sync.Mutex
	var order []int
	for i := range n {
		key := "k"
		if i%100 == 7 {
			key = "nowhere"
		}
		must(t, p.Publish(ctx, Message{Exchange: "test", Key: key, Mandatory: true, ID: uuid.NewString()}, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if order = append(order, i); errors.Is(err, ErrReturned) != (key == "nowhere") || err != nil && key == "k" {
				t.Errorf("message %d with key %s: %v", i, key, err)
			}
		}))
	}
	must(t, p.Flush(ctx))
	mu.Lock()
	defer mu.Unlock()
	for i, got := range order {
		if i != got {
			t.Fatalf("settled %d at place %d", got, i)
		}
	}
	if len(order) != n {
		t.Fatalf("settled %d of %d", len(order), n)
	}
}

func TestWhatIsInFlightSettlesWhenTheConnectionDies(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum"})))
	p, err := b.Publisher(t.Context(), 500)
	must(t, err)
	settled := make(chan error, 500)
	for range 500 {
		must(t, p.Publish(ctx, Message{Exchange: "test", Key: "k"}, func(err error) { settled <- err }))
	}
	p.conn.abort()
	for range 500 {
		select {
		case <-settled:
		case <-ctx.Done():
			t.Fatal("a message never settled")
		}
	}
	<-p.Done()
	if err := p.Publish(ctx, Message{Exchange: "test", Key: "k"}, func(error) {}); !errors.Is(err, ErrLost) {
		t.Errorf("publishing on a dead publisher: %v", err)
	}
	p.Close()
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("the link is not dialled again: %v", err)
	}
}

func TestASilentBrokerIsGivenUp(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	b := open(t, testenv.RabbitMQ(t), func(c *Config) { c.ConfirmTimeout = 50 * time.Millisecond })
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum"})))
	p, err := b.Publisher(t.Context(), 4)
	must(t, err)
	defer p.Close()
	p.slots <- struct{}{} // a message in flight of which the broker knows nothing
	p.due <- due{settled: func(error) {}}
	p.progress.Store(time.Now().UnixNano())
	select {
	case <-p.Done():
	case <-ctx.Done():
		t.Fatal("the publisher waits for ever")
	}
}

func TestABlockedConnectionHoldsPublishersUntilTheirContextEnds(t *testing.T) {
	t.Parallel()
	b := open(t, testenv.RabbitMQ(t))
	must(t, b.Declare(t.Context(), testLayout(map[string]any{"x-queue-type": "quorum"})))
	p, err := b.Publisher(t.Context(), 4)
	must(t, err)
	defer p.Close()
	p.conn.gate.set(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, Message{Exchange: "test", Key: "k"}, func(error) {}); fault.KindOf(err) != fault.Timeout {
		t.Fatalf("got %v", err)
	}
	p.conn.gate.set(false)
	settled := make(chan error, 1)
	must(t, p.Publish(soon(t), Message{Exchange: "test", Key: "k"}, func(err error) { settled <- err }))
	must(t, <-settled)
}
