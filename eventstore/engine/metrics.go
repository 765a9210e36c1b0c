package engine

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/internal/fault"
)

// metrics are what the engine tells Prometheus. Counters are written by the leader of the log, and once an append by its caller; what can be
// looked up is looked up when somebody asks.
type metrics struct {
	appends, events, bytes prometheus.Counter
	conflicts, refused     prometheus.Counter
	scavenged              prometheus.Counter
	seconds, group         prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "annal_eventstore_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "annal_eventstore_" + name, Help: help, Buckets: buckets})
	}
	return &metrics{
		appends:   counter("appends_total", "Appends that stored events, deletions and metadata included."),
		events:    counter("events_total", "Events stored."),
		bytes:     counter("event_bytes_total", "Bytes of the records of events stored."),
		conflicts: counter("conflicts_total", "Appends refused because the stream was at another revision."),
		refused:   counter("disk_low_refusals_total", "Appends refused because the disk is nearly full."),
		scavenged: counter("scavenged_events_total", "Events removed by scavenges of this process."),
		seconds: histogram("append_seconds", "Time from an append's arrival to its answer, whatever the answer.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		group: histogram("group_appends", "Appends written with one fsync.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}),
	}
}

// answered counts an answer of the leader's.
func (m *metrics) answered(q *request, stored bool) {
	switch {
	case q.kind == sweepStream || q.kind == sweptAll:
	case stored:
		m.appends.Inc()
	case q.err == nil:
	case errors.Is(q.err, ErrWrongRevision):
		m.conflicts.Inc()
	case errors.Is(q.err, ErrDiskLow):
		m.refused.Inc()
	}
}

// register adds the metrics, and those that are looked up, to r.
func (db *DB) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	m := db.metrics
	for _, c := range []prometheus.Collector{m.appends, m.events, m.bytes, m.conflicts, m.refused, m.scavenged, m.seconds, m.group, newLookups(db)} {
		if err := r.Register(c); err != nil {
			return fault.Wrap(err, fault.Internal, "METRICS_REFUSED", "the event store's metrics can't be registered")
		}
	}
	return nil
}

// lookups are the metrics that are asked of the engine and of Pebble when they are wanted.
type lookups struct {
	db    *DB
	known []lookup
}

type lookup struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	get  func(*pebble.Metrics, Space) float64
}

func newLookups(db *DB) lookups {
	l := lookups{db: db}
	add := func(kind prometheus.ValueType, name, help string, get func(*pebble.Metrics, Space) float64) {
		l.known = append(l.known, lookup{prometheus.NewDesc("annal_eventstore_"+name, help, nil, nil), kind, get})
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "visible_position", "Position of the last event that readers see.", func(*pebble.Metrics, Space) float64 { return float64(db.Last()) })
	add(gauge, "free_bytes", "Bytes free on the store's disk.", func(_ *pebble.Metrics, s Space) float64 { return float64(s.Free) })
	add(gauge, "reserve_bytes", "Appends are refused while fewer bytes are free.", func(_ *pebble.Metrics, s Space) float64 { return float64(s.Reserve) })
	add(gauge, "disk_low", "1 while appends are refused because the disk is nearly full.", func(_ *pebble.Metrics, s Space) float64 {
		if s.Known && s.Free < s.Reserve {
			return 1
		}
		return 0
	})
	add(gauge, "disk_bytes", "Bytes of the store's files, those that wait for removal included.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.DiskSpaceUsage()) })
	add(gauge, "table_bytes", "Bytes of the tables in use.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Table.Local.LiveSize) })
	add(gauge, "wal_bytes", "Bytes of the write-ahead log in use.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.WAL.PhysicalSize) })
	add(counter, "wal_written_bytes_total", "Bytes written to the write-ahead log.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.WAL.BytesWritten) })
	add(gauge, "memtable_bytes", "Bytes of the memtables.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.MemTable.Size) })
	add(gauge, "level0_files", "Tables in level 0; many mean that compactions lag.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Levels[0].TablesCount) })
	add(gauge, "level0_sublevels", "Sublevels of level 0; appends wait at 24.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Levels[0].Sublevels) })
	add(gauge, "read_amplification", "Tables that a lookup may have to touch.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.ReadAmp()) })
	add(gauge, "compaction_debt_bytes", "Bytes that compactions still have to write.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Compact.EstimatedDebt) })
	add(counter, "compactions_total", "Compactions.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Compact.Count) })
	add(counter, "flushes_total", "Memtables written to tables.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.Flush.Count) })
	add(gauge, "cache_bytes", "Bytes in the block cache.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.BlockCache.Size) })
	add(counter, "cache_hits_total", "Blocks found in the cache.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.BlockCache.Hits) })
	add(counter, "cache_misses_total", "Blocks read from the disk.", func(p *pebble.Metrics, _ Space) float64 { return float64(p.BlockCache.Misses) })
	return l
}

// Describe implements prometheus.Collector.
func (l lookups) Describe(out chan<- *prometheus.Desc) {
	for _, k := range l.known {
		out <- k.desc
	}
}

// Collect implements prometheus.Collector. A store that is closed tells nothing.
func (l lookups) Collect(out chan<- prometheus.Metric) {
	if l.db.enter() != nil {
		return
	}
	defer l.db.leave()
	p, s := l.db.pebble.Metrics(), l.db.Space()
	for _, k := range l.known {
		out <- prometheus.MustNewConstMetric(k.desc, k.kind, k.get(p, s))
	}
}
