package relay

import (
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/rabbit"
)

// BenchmarkRelay measures store -> confirmed beside a bare publisher that pipelines persistent messages of the same body with the
// same window through the same exchange into the same queues, in turns, and reports the medians and their ratio.
//
//	go test ./relay -run xxx -bench Relay -benchtime 1x
func BenchmarkRelay(b *testing.B) {
	const events, window, rounds = 20_000, 1000, 5
	w := newWorld(b)
	w.append(eventstore.Customer, events) // into one queue: the projections'
	var relay, bare, full []float64
	for range b.N {
		for range rounds {
			relay = append(relay, events/w.timeRelay(window).Seconds())
			bare = append(bare, events/w.timeBare(events, window, nil).Seconds())
			full = append(full, events/w.timeBare(events, window, w.headers()).Seconds())
		}
	}
	b.ReportMetric(mid(relay), "relay-events/s")
	b.ReportMetric(mid(bare), "bare-messages/s")
	b.ReportMetric(mid(full), "bare-with-headers/s")
	b.ReportMetric(mid(relay)/mid(bare), "ratio")
	b.ReportMetric(mid(relay)/mid(full), "ratio-with-headers")
	b.ReportMetric(0, "ns/op")
}

func mid(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// timeRelay is the time of one session from zero to everything confirmed.
func (w *world) timeRelay(window int) time.Duration {
	w.must(w.broker.Declare(w.ctx, rabbit.EventsLayout()))
	head, err := w.store.Head(w.ctx)
	w.must(err)
	store, err := w.store.Identity(w.ctx)
	w.must(err)
	began := time.Now()
	r, err := New(w.store, w.broker, w.own, Config{Logger: quiet, Window: window, CheckpointEvery: 5 * time.Millisecond})
	w.must(err)
	_, err = w.pool.Exec(w.ctx, `DELETE FROM relay.checkpoint`)
	w.must(err)
	cp, err := r.takeOver(w.ctx, store)
	w.must(err)
	r.cfg.beforeCheckpoint = func() error {
		if cp.position >= head {
			return errFenced
		}
		return nil
	}
	_ = r.session(w.ctx, cp) // ends by errFenced
	took := time.Since(began)
	w.drain()
	return took
}

func (w *world) timeBare(events, window int, headers amqp.Table) time.Duration {
	conn, err := amqp.Dial(w.url)
	w.must(err)
	defer conn.Close()
	ch, err := conn.Channel()
	w.must(err)
	w.must(ch.Confirm(false))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window+1))
	var body []byte
	for e, err := range w.store.ReadAll(w.ctx, 0, eventstore.Filter{}) {
		w.must(err)
		body = e.Data
		break
	}
	began := time.Now()
	confirmed := 0
	for i := range events {
		if i-confirmed >= window {
			<-confirms
			confirmed++
		}
		w.must(ch.PublishWithContext(w.ctx, rabbit.EventsExchange, "customer.tested", true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", Headers: headers, Body: body}))
	}
	for ; confirmed < events; confirmed++ {
		<-confirms
	}
	took := time.Since(began)
	w.drain()
	return took
}

// headers are those of the first event, so that both sides send the same bytes.
func (w *world) headers() amqp.Table {
	for e, err := range w.store.ReadAll(w.ctx, 0, eventstore.Filter{}) {
		w.must(err)
		h, _ := eventstore.Message{Event: e, After: eventstore.After{"customer": 1}, Store: "s"}.Encode()
		return h
	}
	return nil
}

// drain empties the queues, so that each round finds the broker alike.
func (w *world) drain() {
	conn, err := amqp.Dial(w.url)
	w.must(err)
	defer conn.Close()
	ch, err := conn.Channel()
	w.must(err)
	for queue := range rabbit.EventQueues() {
		_, err := ch.QueuePurge(queue, false)
		w.must(err)
	}
}
