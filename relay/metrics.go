package relay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

type metrics struct {
	confirmed  prometheus.Counter
	returned   prometheus.Counter
	sessions   prometheus.Counter
	omitted    prometheus.Counter
	leader     prometheus.Gauge
	inFlight   prometheus.Gauge
	checkpoint prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_relay_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "annal_relay_" + name, Help: help})
	}
	m := &metrics{
		confirmed:  counter("confirmed_total", "Events that the broker confirmed."),
		returned:   counter("returned_total", "Events that reached no queue and were published again."),
		sessions:   counter("restarts_total", "Sessions with the broker that failed and began again."),
		omitted:    counter("omitted_total", "Events too large for the broker, published without content."),
		leader:     gauge("leader", "1 while this process leads."),
		inFlight:   gauge("unconfirmed", "Messages published and not confirmed yet."),
		checkpoint: gauge("checkpoint_position", "Position up to which everything is confirmed and saved."),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.confirmed, m.returned, m.sessions, m.omitted, m.leader, m.inFlight, m.checkpoint} {
		if err := registerer.Register(c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the relay's metrics can't be registered")
		}
	}
	return m, nil
}

func (m *metrics) count(err error) {
	if errors.Is(err, rabbit.ErrReturned) {
		m.returned.Inc()
	}
}
