package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/eventstore/engine"
)

const (
	benchPayload = 500
	benchRounds  = 5
	benchSpan    = 600 * time.Millisecond
)

// BenchmarkAppend compares appends of one 500-byte event with bare Pebble: batches of the same keys and bytes, synced, with
// the same options, on the same disk, in turns. It prints the median of each side and of the ratios; ns/op means nothing. %barecpu is the
// ratio of the processor time that an event takes, which a machine busy with other things blurs less.
//
//	go test -run '^$' -bench Append ./eventstore/engine
func BenchmarkAppend(b *testing.B) {
	rates := map[string]float64{}
	for _, kind := range []string{"hot", "new"} { // a stream for each writer; a stream for each event
		for _, writers := range []int{1, 64, 256} {
			name := fmt.Sprintf("%s/writers=%d", kind, writers)
			b.Run(name, func(b *testing.B) {
				r := compare(b, writers, kind == "new")
				ours := median(r.ours)
				rates[name] = ours
				b.ReportMetric(median(r.bare), "bare/s")
				b.ReportMetric(ours, "events/s")
				b.ReportMetric(100*median(r.rate), "%bare")
				b.ReportMetric(100*median(r.processor), "%barecpu")
				if one := rates[kind+"/writers=1"]; writers > 1 && one > 0 {
					b.ReportMetric(ours/one, "x1writer")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// compared holds a figure of each round.
type compared struct {
	bare, ours, rate, processor []float64
}

func compare(b *testing.B, writers int, fresh bool) (r compared) {
	p, err := engine.OpenBare(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	db := open(b, b.TempDir(), engine.Config{})
	bareWrite, engineWrite := bareWriter(p, fresh), engineWriter(db, fresh)
	b.ResetTimer()
	for range benchRounds {
		x, busyX := rate(b, writers, bareWrite)
		y, busyY := rate(b, writers, engineWrite)
		r.bare, r.ours, r.rate = append(r.bare, x), append(r.ours, y), append(r.rate, y/x)
		r.processor = append(r.processor, busyX/busyY)
	}
	return r
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// rate counts how often write succeeds per second, called by so many goroutines at once, and how many seconds of processor time one takes.
func rate(b *testing.B, writers int, write func(writer int) error) (perSecond, busy float64) {
	var total atomic.Int64
	var wg sync.WaitGroup
	begun, used := time.Now(), processorTime()
	for w := range writers {
		wg.Go(func() {
			for time.Since(begun) < benchSpan {
				if err := write(w); err != nil {
					b.Error(err)
					return
				}
				total.Add(1)
			}
		})
	}
	wg.Wait()
	n := float64(total.Load())
	return n / time.Since(begun).Seconds(), (processorTime() - used) / n
}

// serial makes numbers that no other call in this process gets.
type serial struct{ n atomic.Uint64 }

func (s *serial) next() uint64 { return s.n.Add(1) }

// bareWriter writes what the engine writes for an event: the record, the index entry, and the stream's name if it is new.
func bareWriter(p *pebble.DB, fresh bool) func(int) error {
	var positions serial
	return func(w int) error {
		pos := engine.Position(positions.next())
		id := engine.Position(w + 1)
		batch := p.NewBatch()
		if fresh {
			id = pos
			if err := batch.Set(fmt.Appendf(nil, "norder-%032d", pos), binary.BigEndian.AppendUint64(nil, uint64(pos)), nil); err != nil {
				return err
			}
		}
		r := engine.Record{Position: pos, Stream: "order-00000000000000000000000000000000", Event: benchEvent(uint64(pos))}
		if err := batch.Set(engine.AppendEventKey(nil, pos), engine.EncodeRecord(&r), nil); err != nil {
			return err
		}
		if err := batch.Set(engine.AppendStreamKey(nil, id, engine.Revision(pos)), make([]byte, engine.StreamValueLen), nil); err != nil {
			return err
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			return err
		}
		return batch.Close()
	}
}

func engineWriter(db *engine.DB, fresh bool) func(int) error {
	var ids serial
	last := make([]engine.Expected, 1024)
	for i := range last {
		last[i] = engine.ExpectNoStream
	}
	return func(w int) error {
		id := ids.next()
		if fresh {
			_, err := db.Append(context.Background(), fmt.Sprintf("order-%032d", id), engine.ExpectNoStream, []engine.Event{benchEvent(id)})
			return err
		}
		a, err := db.Append(context.Background(), fmt.Sprintf("hot-%d", w), last[w], []engine.Event{benchEvent(id)})
		last[w] = engine.Expected(a.Revision)
		return err
	}
}

func benchEvent(n uint64) engine.Event {
	e := engine.Event{Type: "order.placed.v1", JSON: true, Data: make([]byte, benchPayload)}
	binary.BigEndian.PutUint64(e.ID[:], n)
	for i := range e.Data { // neither constant nor random: compresses like JSON does
		e.Data[i] = "abcdefghijklmnop"[(n>>(i%16))&15]
	}
	return e
}
