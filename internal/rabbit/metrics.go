package rabbit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
)

type busMetrics struct {
	duration *prometheus.HistogramVec
	dead     *prometheus.CounterVec
}

func newBusMetrics(registerer prometheus.Registerer) (*busMetrics, error) {
	m := &busMetrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "annal_commands_handled_seconds", Help: "Time to handle a command or reply, by queue and code of the fault (empty: none).",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"queue", "code"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "annal_dead_letters_total", Help: "Commands and replies that became dead letters, by queue and code of the fault.",
		}, []string{"queue", "code"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.duration, m.dead} {
		if err := registerer.Register(c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the bus's metrics can't be registered")
		}
	}
	return m, nil
}

func (m *busMetrics) handled(queue string, err error, took time.Duration) {
	code := ""
	if err != nil {
		code = fault.CodeOf(err)
	}
	m.duration.WithLabelValues(queue, code).Observe(took.Seconds())
}
