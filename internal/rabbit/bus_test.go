package rabbit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/testenv"
)

func newBus(t *testing.T, url string, change ...func(*BusConfig)) *Bus {
	t.Helper()
	cfg := BusConfig{Logger: quiet}
	for _, f := range change {
		f(&cfg)
	}
	b, err := NewBus(open(t, url), cfg)
	must(t, err)
	t.Cleanup(b.Close)
	return b
}

func command(key, name string) Command {
	return Command{ID: uuid.New(), Name: name, Service: "inventory", Key: key, Body: []byte(`{}`)}
}

func TestACommandArrivesWholeAndItsReplyComesBack(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus := newBus(t, testenv.RabbitMQ(t))
	want := Command{
		ID: uuid.New(), Name: "ReserveLines", Service: "inventory", Key: "order-1", High: true, ReplyTo: RepliesQueue, Body: []byte(`{"n":1}`),
		Correlation: "corr", Causation: "cause", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Deadline: time.Now().Add(time.Hour).UTC(),
	}
	must(t, bus.Send(ctx, want)) // before anybody declared anything
	got := make(chan Command, 1)
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "inventory", 4, func(_ context.Context, c Command) (Reply, error) {
			got <- c
			return Reply{OK: true, Body: []byte(`{"ok":1}`), Position: 42}, nil
		})
	})
	replies := make(chan Reply, 1)
	start(t, ctx, func(ctx context.Context) error {
		return bus.Replies(ctx, func(_ context.Context, r Reply) error { replies <- r; return nil })
	})
	c := <-got
	c.Traceparent, want.Traceparent = c.Traceparent[3:35], want.Traceparent[3:35] // same trace; the span is the sender's
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("command (-sent +handled):\n%s", diff)
	}
	r := <-replies
	r.Traceparent = ""
	if diff := cmp.Diff(Reply{Command: want.ID, Name: "ReserveLines", Key: "order-1", OK: true, Body: []byte(`{"ok":1}`), Correlation: "corr", Position: 42}, r); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
}

func TestOrderHoldsPerKeyUnderConcurrency(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus := newBus(t, testenv.RabbitMQ(t))
	const keys, each = 10, 30
	var sent []Command
	for i := range keys * each {
		c := command(fmt.Sprint("order-", i%keys), "N")
		c.Body = fmt.Append(nil, i)
		sent = append(sent, c)
	}
	must(t, bus.Send(ctx, sent...))
	var mu sync.Mutex
	got := map[string][]string{}
	all := make(chan struct{})
	n := 0
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "inventory", 8, func(_ context.Context, c Command) (Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			got[c.Key] = append(got[c.Key], string(c.Body))
			if n++; n == len(sent) {
				close(all)
			}
			return Reply{OK: true}, nil
		})
	})
	<-all
	want := map[string][]string{}
	for _, c := range sent {
		want[c.Key] = append(want[c.Key], string(c.Body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFailuresAreTriedAgainThenBecomeDeadLettersWithTheirCause(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus := newBus(t, testenv.RabbitMQ(t), func(c *BusConfig) { c.MaxAttempts, c.Delays = 3, retryDelays[:1] })
	attempts := make(chan Command, 16)
	away := fault.New(fault.Unavailable, "STORE_AWAY", "the store is away")
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "inventory", 4, func(_ context.Context, c Command) (Reply, error) {
			attempts <- c
			switch c.Name {
			case "Panics":
				panic("boom")
			case "Refuses":
				return Reply{}, fault.New(fault.Internal, "BROKEN", "can't be")
			}
			return Reply{}, away
		})
	})
	vip := command("a", "Unavailable")
	vip.High = true
	must(t, bus.Send(ctx, vip, command("b", "Panics"), command("c", "Refuses")))
	dead := map[string]Delivery{}
	letters, err := bus.broker.Consume(t.Context(), ServiceLayout("inventory"), DeadQueue("inventory"), 10)
	must(t, err)
	defer letters.Close()
	for len(dead) < 3 {
		select {
		case d := <-letters.C:
			dead[d.Type] = d
		case <-ctx.Done():
			t.Fatalf("only %d dead letters", len(dead))
		}
	}
	if d := dead["Unavailable"]; d.Key != "inventory.commands.high" || d.Headers[HeaderAttempts] != int64(3) || d.text(HeaderDeadCode) != "STORE_AWAY" ||
		d.text(HeaderDeadKey) != "inventory.commands.high" || d.text(HeaderDeadFrom) != CommandsExchange || d.ID != vip.ID.String() {
		t.Errorf("tried in vain: key %s, headers %v", d.Key, d.Headers)
	}
	if d := dead["Panics"]; d.text(HeaderDeadCode) != "HANDLER_PANICKED" || d.text(HeaderDeadStack) == "" || d.Headers[HeaderAttempts] != int64(1) {
		t.Errorf("panicked: headers %v", d.Headers)
	}
	if d := dead["Refuses"]; d.text(HeaderDeadCode) != "BROKEN" || d.text(HeaderFirstFailed) == "" || string(d.Body) != "{}" {
		t.Errorf("refused: headers %v", d.Headers)
	}
	close(attempts)
	high := 0
	for c := range attempts {
		if c.Name == "Unavailable" && c.High {
			high++
		}
	}
	if high != 3 {
		t.Errorf("the high command was handled %d times at its level, want 3", high)
	}
}

func TestWhatIsNoCommandIsADeadLetterAndHarmsNobody(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus := newBus(t, testenv.RabbitMQ(t))
	good := make(chan string, 4)
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "inventory", 2, func(_ context.Context, c Command) (Reply, error) { good <- c.Name; return Reply{OK: true}, nil })
	})
	queue := CommandQueue("inventory", false)
	must(t, bus.deliver(ctx, ServiceLayout("inventory"), []Message{
		{Exchange: CommandsExchange, Key: queue, Mandatory: true, ID: "forged"},
		{Exchange: CommandsExchange, Key: queue, Mandatory: true, ID: uuid.NewString(), Body: make([]byte, 1<<20)},
		command("k", "Fine").message(),
	}))
	if name := <-good; name != "Fine" {
		t.Errorf("handled %q", name)
	}
	letters, err := bus.broker.Consume(t.Context(), ServiceLayout("inventory"), DeadQueue("inventory"), 10)
	must(t, err)
	defer letters.Close()
	for range 2 {
		if d := <-letters.C; d.text(HeaderDeadCode) != ErrMalformed.Code {
			t.Errorf("headers %v", d.Headers)
		}
	}
}

func TestAnExpiredCommandIsNotBegunAndItsOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus := newBus(t, testenv.RabbitMQ(t))
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "payment", 2, func(context.Context, Command) (Reply, error) {
			t.Error("begun")
			return Reply{OK: true}, nil
		})
	})
	replies := make(chan Reply, 1)
	start(t, ctx, func(ctx context.Context) error {
		return bus.Replies(ctx, func(_ context.Context, r Reply) error { replies <- r; return nil })
	})
	c := command("k", "Capture")
	c.Service, c.ReplyTo, c.Deadline = "payment", RepliesQueue, time.Now().Add(-time.Second)
	must(t, bus.Send(ctx, c))
	if r := <-replies; r.OK || r.Kind != "timeout" || r.Code != "COMMAND_EXPIRED" || r.Command != c.ID {
		t.Errorf("reply %+v", r)
	}
}

func TestNoticesReachEveryProcess(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	url := testenv.RabbitMQ(t)
	sender := newBus(t, url)
	var got [2]chan Notice
	ready := make(chan struct{}, 2)
	for i := range got {
		got[i] = make(chan Notice, 1)
		bus := newBus(t, url)
		start(t, ctx, func(ctx context.Context) error {
			return bus.Notices(ctx, func() { ready <- struct{}{} }, func(n Notice) { got[i] <- n })
		})
	}
	<-ready
	<-ready
	want := Notice{Topic: "order", Key: "order-1", Body: []byte(`{}`)}
	must(t, sender.Notify(ctx, want))
	for i := range got {
		if diff := cmp.Diff(want, <-got[i]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAHandlerThatRunsWhenWorkEndsIsAcknowledged(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	url := testenv.RabbitMQ(t)
	bus := newBus(t, url)
	begun, release := make(chan struct{}), make(chan struct{})
	stop := start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "order", 1, func(ctx context.Context, _ Command) (Reply, error) {
			close(begun) // twice would panic: a dead letter, and the queue empty for another reason
			<-release
			return Reply{OK: true}, ctx.Err()
		})
	})
	c := command("k", "Confirm")
	c.Service = "order"
	must(t, bus.Send(ctx, c))
	<-begun
	go close(release)
	stop()
	if n := depth(t, bus.broker, CommandQueue("order", false)) + depth(t, bus.broker, DeadQueue("order")); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func depth(t *testing.T, b *Broker, queue string) int {
	t.Helper()
	ch, _, err := b.publish.channel(t.Context(), nil)
	must(t, err)
	defer ch.Close()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	must(t, err)
	return q.Messages
}

func TestTheScheduleOvertakesButStarvesNobody(t *testing.T) {
	s := newSchedule()
	for i := range 20 {
		s.push(job{0, fmt.Sprint("h", i), Delivery{}})
		s.push(job{1, fmt.Sprint("n", i), Delivery{}})
	}
	var levels []int
	for {
		j, ok := s.next()
		if !ok {
			break
		}
		levels = append(levels, j.level)
		s.done(j)
	}
	if want := []int{0, 0, 0, 0, 1, 0, 0, 0, 0, 1}; !slices.Equal(levels[:10], want) {
		t.Errorf("took %v, want %v", levels[:10], want)
	}
	if len(levels) != 40 {
		t.Errorf("took %d", len(levels))
	}
}

func TestTheScheduleRunsAKeyOnceAtATime(t *testing.T) {
	s := newSchedule()
	for tag := range uint64(3) {
		s.push(job{1, "same", Delivery{Tag: tag}})
	}
	first, _ := s.next()
	if _, ok := s.next(); ok {
		t.Fatal("two of one key at once")
	}
	s.done(first)
	second, ok := s.next()
	if !ok || first.Tag != 0 || second.Tag != 1 {
		t.Fatalf("order %d, %d", first.Tag, second.Tag)
	}
}

func TestCommandsSurviveAQueueThatIsDeletedUnderTheConsumer(t *testing.T) {
	t.Parallel()
	ctx := soon(t)
	bus, err := NewBus(open(t, testenv.RabbitMQ(t), func(c *Config) { c.QuietRefresh = time.Second }), BusConfig{Logger: quiet})
	must(t, err)
	t.Cleanup(bus.Close)
	got := make(chan string, 4)
	start(t, ctx, func(ctx context.Context) error {
		return bus.Work(ctx, "shipment", 2, func(_ context.Context, c Command) (Reply, error) { got <- c.Name; return Reply{OK: true}, nil })
	})
	send := func(name string) {
		c := command("k", name)
		c.Service = "shipment"
		must(t, bus.Send(ctx, c))
	}
	send("Before")
	if name := <-got; name != "Before" {
		t.Fatal(name)
	}
	ch, _, err := bus.broker.publish.channel(t.Context(), nil)
	must(t, err)
	_, err = ch.QueueDelete(CommandQueue("shipment", false), false, false, false)
	must(t, err)
	must(t, ch.Close())
	send("After") // returned, declared again, confirmed
	select {
	case name := <-got:
		if name != "After" {
			t.Fatal(name)
		}
	case <-ctx.Done():
		t.Fatal("the consumer did not come back")
	}
}

func TestSendRefusesWithATypedFaultWhenTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	b, err := Open(Config{URL: "amqp://x:y@127.0.0.1:1/"})
	must(t, err)
	bus, err := NewBus(b, BusConfig{Logger: quiet, MinBackoff: time.Millisecond})
	must(t, err)
	if err := bus.Send(soon(t), command("k", "Lost")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
