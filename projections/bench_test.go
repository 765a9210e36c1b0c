package projections_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/projections"
)

const (
	benchRows  = 20_000 // a row an event: nothing to fold away, the projector's hardest case
	benchBatch = 1000
)

// BenchmarkProjector runs in turns, five times: the bare layer (one unnest upsert and a checkpoint by compare-and-swap in one
// transaction, pipelined, values ready made), the projector (decode, load, fold, the same writes), and one transaction an
// event. It prints the median rates and the ratio, the goal of which is 75%.
func BenchmarkProjector(b *testing.B) {
	h := &history{}
	for i := range benchRows {
		received(b, h, fmt.Sprintf("sku-%06d", i), 1)
	}
	for range b.N {
		var bare, product, single []float64
		for range 5 {
			bare = append(bare, rate(benchRows, func() { bareUpserts(b, poisoned(b).owner) }))
			pool := poisoned(b).owner
			p := projector(b, pool, h, projections.Config{Projections: []projections.Projection{units(b, sound)}, History: h.read(benchBatch)})
			product = append(product, rate(benchRows, func() {
				if err := p.RunToEnd(context.Background()); err != nil {
					b.Fatal(err)
				}
			}))
			some := &history{events: h.events[:500], revisions: h.revisions}
			p = projector(b, poisoned(b).owner, some, projections.Config{Projections: []projections.Projection{units(b, sound)}, History: some.read(1)})
			single = append(single, rate(500, func() {
				if err := p.RunToEnd(context.Background()); err != nil {
					b.Fatal(err)
				}
			}))
		}
		b.ReportMetric(median(bare), "bare-rows/s")
		b.ReportMetric(median(product), "projector-rows/s")
		b.ReportMetric(median(product)/median(bare)*100, "%-of-bare")
		b.ReportMetric(median(product)/median(single), "x-one-tx-an-event")
	}
}

func rate(n int, f func()) float64 {
	began := time.Now()
	f()
	return float64(n) / time.Since(began).Seconds()
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// bareUpserts writes the same rows into the same table without events.
func bareUpserts(b *testing.B, pool *pgxpool.Pool) {
	ctx := context.Background()
	const save = `INSERT INTO units_v1.units (id, position, events, received, seen, note)
		SELECT u.a, u.b, u.c, u.d, u.e::jsonb, u.f FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[]) AS u(a, b, c, d, e, f)
		ON CONFLICT (id) DO UPDATE SET position = excluded.position, events = excluded.events, received = excluded.received, seen = excluded.seen, note = excluded.note`
	const swap = `UPDATE projections.checkpoints SET position = $1, generation = generation + 1 WHERE name = 'units' AND position = $2`
	for from := 0; from < benchRows; from += benchBatch {
		n := benchBatch
		ids, seen, notes := make([]string, n), make([]string, n), make([]string, n)
		ones, positions := make([]int64, n), make([]int64, n)
		for i := range n {
			ids[i], ones[i], seen[i], positions[i] = fmt.Sprintf("sku-%06d", from+i), 1, "[1]", int64(from+i)
		}
		batch := &pgx.Batch{}
		batch.Queue("BEGIN")
		batch.Queue(save, ids, positions, ones, ones, seen, notes)
		batch.Queue(swap, int64(from+n), int64(from))
		batch.Queue("COMMIT")
		if err := pool.SendBatch(ctx, batch).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroup is the whole group of read models over whole orders, from events in memory: what a rebuild of everything
// costs, and each read model's part in it.
func BenchmarkGroup(b *testing.B) {
	h := shop(b, seeded(3), 2000)
	groups := map[string][]projections.Projection{"all": all(b)}
	for _, p := range all(b) {
		groups[p.Name()] = []projections.Projection{p}
	}
	for name, group := range groups {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				p := projector(b, database(b), h, projections.Config{Projections: group, History: h.read(benchBatch)})
				b.ReportMetric(rate(len(h.events), func() {
					if err := p.RunToEnd(context.Background()); err != nil {
						b.Fatal(err)
					}
				}), "events/s")
			}
		})
	}
}
