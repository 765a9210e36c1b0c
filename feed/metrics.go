package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
)

type metrics struct {
	events, duplicates, healed, foreign, malformed, failures prometheus.Counter
	position, lag                                            prometheus.Gauge
	batch                                                    prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer, consumer string) (*metrics, error) {
	labels := prometheus.Labels{"consumer": consumer}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_feed_" + name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "annal_feed_" + name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		events:     counter("events_total", "Events applied."),
		duplicates: counter("duplicates_total", "Messages at or below the checkpoint."),
		healed:     counter("healed_total", "Events read from the store because the broker did not deliver them in order."),
		foreign:    counter("foreign_total", "Messages of another store, left out."),
		malformed:  counter("malformed_total", "Messages that are not the relay's, left out."),
		failures:   counter("apply_failures_total", "Batches that could not be applied and were tried again."),
		position:   gauge("position", "Position up to which everything is applied."),
		lag:        gauge("lag_seconds", "Age of the oldest event of the last batch when it was applied; 0 when a watermark shows that nothing is missing."),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "annal_feed_batch_events", Help: "Events of one batch.", ConstLabels: labels,
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500}}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.duplicates, m.healed, m.foreign, m.malformed, m.failures, m.position, m.lag, m.batch} {
		if err := registerer.Register(c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the feed's metrics can't be registered")
		}
	}
	return m, nil
}

func (m *metrics) applied(b Batch, now time.Time) {
	m.position.Set(float64(b.To.Position))
	if len(b.Events) == 0 {
		return
	}
	m.events.Add(float64(len(b.Events)))
	m.batch.Observe(float64(len(b.Events)))
	m.lag.Set(now.Sub(b.Events[0].Created).Seconds())
}
