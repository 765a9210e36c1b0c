package sagas

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/rabbit"
)

type metrics struct {
	sent, unsent, resent prometheus.Counter
	answers              *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sent:   prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_saga_commands_sent_total", Help: "Commands that sagas handed to the broker."}),
		unsent: prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_saga_commands_deferred_total", Help: "Commands that the broker did not take and timers send later."}),
		resent: prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_saga_commands_resent_total", Help: "Commands that timers sent again."}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "annal_saga_answers_total", Help: "Answers to sagas' commands."},
			[]string{"command", "outcome"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.unsent, m.resent, m.answers} {
		if err := r.Register(c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the metrics are registered already")
		}
	}
	return m, nil
}

// answered counts by what the answer said, and those that moved nothing: late and doubled ones.
func (m *metrics) answered(r rabbit.Reply, decided bool) {
	switch {
	case !decided: // it may be anybody's: its name is no label
		m.answers.WithLabelValues("", "late").Inc()
	case !r.OK:
		m.answers.WithLabelValues(r.Name, "refused").Inc()
	default:
		m.answers.WithLabelValues(r.Name, "ok").Inc()
	}
}
