package feed

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/relay"
)

func TestDoubledDroppedAndReorderedDeliveriesChangeNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			w.relay(w.database(), relay.Config{})
			sink := newMemory()
			w.consume(sink, func(c *Config) { c.tap, c.MaxBatch = hostile(seed, 0.1, 0.2, 0.2), 7 })
			w.append(400)
			w.converges(sink)
		})
	}
}

func TestAnEventIsNeverAppliedBeforeAnEarlierOne(t *testing.T) {
	// converges compares the whole sequence; this shows that it would notice.
	sink := newMemory()
	b := Batch{To: Checkpoint{Position: 9}, Events: []eventstore.Recorded{{Position: 9}}}
	if err := sink.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := sink.Apply(t.Context(), b); !errors.Is(err, ErrCheckpointMoved) {
		t.Fatalf("a batch was applied twice: %v", err)
	}
}

func TestTheQueueIsPurgedAndDeletedAndTheBrokerWiped(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*world){
		"purged":  func(w *world) { w.purge("test.events") },
		"deleted": func(w *world) { w.deleteQueue("test.events") },
		"wiped":   func(w *world) { w.wipe() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 11)
			w.relay(w.database(), relay.Config{})
			sink := newMemory()
			w.consume(sink, func(c *Config) { c.Silence = 500 * time.Millisecond })
			w.append(100)
			w.converges(sink)
			w.append(100)
			do(w)
			w.append(50)
			do(w)
			w.converges(sink)
			began := time.Now() // and afterwards it is live again, not living on the store's charity
			w.append(1)
			w.converges(sink)
			t.Logf("an event after the fault was applied in %v", time.Since(began))
		})
	}
}

func TestTwoRelaysAtOnceCauseDuplicatesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 21)
	w.append(200)
	w.relay(w.database(), relay.Config{}) // each with a database, lock and checkpoint of its own: nothing fences them
	sink := newMemory()
	w.consume(sink)
	w.append(100)
	w.relay(w.database(), relay.Config{}) // begins at zero
	w.append(200)
	w.converges(sink)
}

func TestARelayTakesOverFromAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 22)
	url := w.database()
	stop := w.relay(url, relay.Config{})
	sink := newMemory()
	w.consume(sink, func(c *Config) { c.Silence = time.Hour })
	w.append(50)
	w.converges(sink)
	w.relay(url, relay.Config{}) // waits for the lock
	stop()
	w.append(50)
	w.converges(sink)
}

func TestConsumersDieTwiceHoldingPrefetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 31)
	layout := rabbit.EventQueue("test.events", []string{"order", "payment", "inventory"})
	var dying []*rabbit.Consumption
	for _, hold := range []int{8, 3} {
		c, err := w.open().Consume(t.Context(), layout, "test.events", hold) // the first is the queue's active consumer, the second the next
		w.must(err)
		dying = append(dying, c)
	}
	registry := prometheus.NewRegistry()
	sink := newMemory()
	w.consume(sink, func(c *Config) { c.Silence, c.Registerer = time.Hour, registry }) // stands by, and doesn't ask the store
	w.relay(w.database(), relay.Config{WatermarkEvery: time.Hour})                     // nothing but events: the rotation isn't hidden
	w.append(60)
	for i, hold := range []int{8, 3} {
		for range hold {
			select {
			case <-dying[i].C:
			case <-w.ctx.Done():
				t.Fatal("nothing was delivered")
			}
		}
		dying[i].Close() // with all of it unacknowledged
	}
	w.converges(sink)
	if value(t, registry, "annal_feed_healed_total") == 0 {
		t.Error("nothing had to be healed: the queue did not rotate and this test shows nothing")
	}
}

func value(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestTheBrokerIsAwayFromTheStartAndGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 41)
	p, through := newProxy(t, w.url, false)
	w.relay(w.database(), relay.Config{}) // reaches the broker directly
	w.url = through
	sink := newMemory()
	w.consume(sink)
	for round := range 3 {
		w.append(60)
		w.converges(sink) // from the store
		p.set(true)
		w.append(60)
		w.converges(sink) // from the broker, sooner or later
		p.set(false)
		t.Log("round", round, "done")
	}
}

func TestALargeGapIsACatchUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 51)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink, func(c *Config) { c.HealLimit, c.tap = 3, hostile(5, 0.5, 0, 0.2) })
	w.append(300)
	w.converges(sink)
}

func TestApplyFailsBreaksAfterCommitAndIsOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 61)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	calls := 0
	sink.fault = func() error {
		switch calls++; {
		case calls%5 == 0:
			return errAfterCommit
		case calls%3 == 0:
			return errors.New("deadlock detected")
		}
		return nil
	}
	w.consume(sink, func(c *Config) { c.MaxBatch = 10 })
	w.consume(sink, func(c *Config) { c.Queue, c.MaxBatch = "rival.events", 3 }) // same sink: they overtake each other all the time
	w.append(300)
	w.converges(sink)
}

func TestMessagesThatAreNotTheRelaysAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 71)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink)
	w.append(20)
	w.converges(sink)
	p, err := w.broker.Publisher(t.Context(), 100)
	w.must(err)
	defer p.Close()
	id := uuid.New()
	foreign := eventstore.Message{Store: "another", After: eventstore.After{}, Event: eventstore.Recorded{
		Stream: "order-9", Position: 1 << 40, ID: id, Type: "order.forged.v1", Data: []byte(`{}`), Metadata: []byte(`{}`), Created: time.Now()}}
	headers, body := foreign.Encode()
	for _, m := range []rabbit.Message{
		{},
		{Body: make([]byte, 4<<20)},
		{Headers: map[string]any{eventstore.HeaderPosition: "1"}},
		{Headers: map[string]any{eventstore.HeaderPosition: int64(-1), eventstore.HeaderStore: "", eventstore.HeaderAfter: ""}},
		{Headers: headers, Body: body},
	} {
		m.Exchange, m.Key = rabbit.EventsExchange, "order.forged"
		w.must(p.Publish(w.ctx, m, func(error) {}))
	}
	w.must(p.Flush(w.ctx))
	w.append(20)
	w.converges(sink)
}

func TestAnEventTooLargeForTheBrokerComesFromTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 72)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink)
	w.append(5)
	metadata := append(append([]byte(`{"pad":"`), make([]byte, 200_000)...), `"}`...)
	for i := range metadata {
		if metadata[i] == 0 {
			metadata[i] = 'x'
		}
	}
	_, err := w.store.Append(w.ctx, "order-large", eventstore.NoStream, []eventstore.Event{{ID: uuid.New(), Type: "order.tested.v1", Data: []byte(`{}`), Metadata: metadata}})
	w.must(err)
	w.append(5)
	w.converges(sink)
}

func TestACheckpointOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 81)
	w.append(10)
	store, err := w.store.Identity(w.ctx)
	w.must(err)
	head, err := w.store.Head(w.ctx)
	w.must(err)
	for name, c := range map[string]struct {
		cp   Checkpoint
		want error
	}{
		"another store":      {Checkpoint{Position: 1, Store: "another", Categories: subset}, ErrForeignStore},
		"other categories":   {Checkpoint{Position: 1, Store: store, Categories: subset[:1]}, ErrCategories},
		"an unknown history": {Checkpoint{Position: head + 1000, Store: store, Last: uuid.New(), Categories: subset}, ErrHistory},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newMemory()
			sink.cp = c.cp
			consumer, err := New(w.store, w.broker, sink, Config{Name: "test", Queue: "test.events", Categories: subset, Logger: quiet})
			w.must(err)
			if err := consumer.Run(w.ctx); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if len(sink.applied) > 0 {
				t.Error("applied something")
			}
		})
	}
}

func TestQuietCategoriesMoveByWatermarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 91)
	w.relay(w.database(), relay.Config{})
	sink := newMemory()
	w.consume(sink, func(c *Config) { c.Categories = []eventstore.Category{eventstore.Product} })
	w.append(100)
	head, err := w.store.Head(w.ctx)
	w.must(err)
	for sink.position() < head {
		sink.mu.Lock()
		changed := sink.changed
		sink.mu.Unlock()
		if sink.position() >= head {
			break
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
			t.Fatalf("at %d of %d", sink.position(), head)
		}
	}
}

func TestStandaloneNeedsNoBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 92)
	sink := newMemory()
	c, err := New(w.store, nil, sink, Config{Name: "test", Standalone: true, Categories: subset, Logger: quiet})
	w.must(err)
	w.append(50)
	w.run(c.Run)
	w.append(50)
	w.converges(sink)
}

func TestJudge(t *testing.T) {
	at := func(category eventstore.Category, position eventstore.Position, after eventstore.After) eventstore.Message {
		return eventstore.Message{Event: eventstore.Recorded{Stream: category.Stream("1"), Position: position}, After: after}
	}
	watermark := func(position eventstore.Position, after eventstore.After) eventstore.Message {
		return eventstore.Message{Event: eventstore.Recorded{Position: position}, After: after, Watermark: true}
	}
	omitted := at("order", 12, nil)
	omitted.Omitted = true
	const tip = 10
	for name, c := range map[string]struct {
		m    eventstore.Message
		want verdict
	}{
		"next":                         {at("order", 11, eventstore.After{"order": 10, "payment": 9}), next},
		"next, others in between":      {at("order", 20, eventstore.After{"order": 10, "cart": 19}), next},
		"first of all":                 {at("order", 11, nil), next},
		"duplicate":                    {at("order", 10, eventstore.After{"order": 9}), duplicate},
		"gap in its own category":      {at("order", 20, eventstore.After{"order": 15}), gap},
		"gap in another of ours":       {at("order", 20, eventstore.After{"order": 10, "payment": 11}), gap},
		"another category":             {at("cart", 20, eventstore.After{"order": 15}), ignored},
		"too large":                    {omitted, gap},
		"watermark":                    {watermark(30, eventstore.After{"order": 10, "cart": 29}), proof},
		"watermark after a lost tail":  {watermark(30, eventstore.After{"order": 30}), gap},
		"watermark that we are beyond": {watermark(5, eventstore.After{"order": 5}), proof},
	} {
		if got := judge(c.m, tip, subset); !cmp.Equal(got, c.want) {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
