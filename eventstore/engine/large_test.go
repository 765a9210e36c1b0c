package engine_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
)

var (
	largeEvents = flag.Int("large", 0, "events of BenchmarkLarge's log; 0: it is skipped")
	largeSmall  = flag.Int("small", 2_000_000, "events of the log it is compared with: more than the caches hold")
)

const (
	largeChild  = "ENGINE_BENCH_CHILD_DIR"
	largeStream = 100 // events in a stream, written by one append
	largeBytes  = 120 // data of an event: ten million take about 3 GB
	largeHeads  = 3000
)

// looks is what a process of its own finds out about a store.
type looks struct {
	Events             int
	Open               time.Duration
	AfterOpen, Highest float64       // resident memory in MiB
	Head               time.Duration // median read of a stream's last event
	First              time.Duration // the same of the first ones after opening, median
	Warm               time.Duration // the same where every block is in the cache
	Blocks             float64       // blocks of tables that a read looks at
	CatchUp            float64       // events a second
}

// BenchmarkLarge fills a log, and lets processes of their own open it, read the heads of random streams, and read all of it; and the same
// with a small log, for the ratio. Its disk space is given back at the end.
//
//	go test -run '^$' -bench Large -benchtime 1x -timeout 60m ./eventstore/engine -args -large 10000000
func BenchmarkLarge(b *testing.B) {
	if dir := os.Getenv(largeChild); dir != "" {
		if err := json.NewEncoder(os.Stdout).Encode(look(b, dir)); err != nil {
			b.Fatal(err)
		}
		return
	}
	if *largeEvents == 0 {
		b.Skip("give -args -large N")
	}
	small, large := b.TempDir(), b.TempDir()
	fillLog(b, small, *largeSmall, engine.Config{})
	begun := time.Now()
	fillLog(b, large, *largeEvents, engine.Config{})
	written := float64(*largeEvents) / time.Since(begun).Seconds()
	syscall.Sync() // a disk that is still writing a gigabyte makes whoever opens a file wait
	b.ResetTimer()
	s, l := lookFrom(b, small), lookFrom(b, large)
	if l.Events < *largeEvents || s.Events < *largeSmall {
		b.Fatalf("%d and %d events are there", s.Events, l.Events)
	}
	b.ReportMetric(float64(l.Events), "log-events")
	b.ReportMetric(written, "written/s")
	b.ReportMetric(l.Open.Seconds()*1000, "open-ms")
	b.ReportMetric(l.AfterOpen, "MiB-after-open")
	b.ReportMetric(l.Highest, "MiB-highest")
	b.ReportMetric(float64(l.Head.Microseconds()), "head-us")
	b.ReportMetric(float64(l.Head)/float64(s.Head), "head-x-small")
	b.ReportMetric(float64(l.First)/float64(s.First), "cold-head-x-small")
	b.ReportMetric(float64(l.Warm)/float64(s.Warm), "warm-head-x-small")
	b.ReportMetric(l.Blocks, "blocks/head")
	b.ReportMetric(l.Blocks/s.Blocks, "blocks-x-small")
	b.ReportMetric(l.CatchUp, "read/s")
	b.ReportMetric(0, "ns/op")
}

// fillLog writes n events, a stream an append, sixteen appends at a time.
func fillLog(b testing.TB, dir string, n int, cfg engine.Config) {
	b.Helper()
	db, err := engine.Open(dir, cfg)
	if err != nil {
		b.Fatal(err)
	}
	const abreast = 16
	var tickets []*engine.Ticket
	rng := rand.New(rand.NewPCG(1, 2))
	for s := range (n + largeStream - 1) / largeStream {
		events := make([]engine.Event, largeStream)
		for i := range events {
			e := event(uint64(s*largeStream + i))
			e.Data = fmt.Appendf(nil, `{"a":"%016x","b":"%016x","pad":"%0*d"}`, rng.Uint64(), rng.Uint64(), largeBytes-59, i)
			events[i] = e
		}
		t, err := db.Begin(fmt.Sprintf("order-%08d", s), engine.ExpectNoStream, events)
		if err != nil {
			b.Fatal(err)
		}
		if tickets = append(tickets, t); len(tickets) == abreast {
			wait(b, tickets)
			tickets = tickets[:0]
		}
	}
	wait(b, tickets)
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}

func wait(b testing.TB, tickets []*engine.Ticket) {
	b.Helper()
	for _, t := range tickets {
		if _, err := t.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// lookFrom looks at a store from a process of its own, whose memory holds nothing else.
func lookFrom(b *testing.B, dir string) (l looks) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkLarge$", "-test.benchtime=1x", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), largeChild+"="+dir)
	out, err := cmd.CombinedOutput()
	at := bytes.IndexByte(out, '{')
	if err != nil || at < 0 {
		b.Fatalf("%v: %s", err, out)
	}
	if err := json.NewDecoder(bytes.NewReader(out[at:])).Decode(&l); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return l
}

func look(b *testing.B, dir string) (l looks) {
	begun := time.Now()
	db, err := engine.Open(dir, engine.Config{})
	if err != nil {
		b.Fatal(err)
	}
	l.Open, l.Events = time.Since(begun), int(db.Last())
	l.AfterOpen = memory(b, "VmRSS")
	rng := rand.New(rand.NewPCG(3, 4))
	times := make([]float64, largeHeads)
	blocks := engine.Blocks(db)
	for i := range times {
		times[i] = readHead(b, db, rng.IntN(l.Events/largeStream))
	}
	l.Blocks = float64(engine.Blocks(db)-blocks) / largeHeads
	l.First, l.Head = time.Duration(median(times[:100])), time.Duration(median(times))
	again := rng.IntN(l.Events/largeStream - 4)
	for i := range times {
		times[i] = readHead(b, db, again+i%4)
	}
	l.Warm = time.Duration(median(times))
	begun = time.Now()
	for from := engine.Position(1); ; {
		page, err := db.ReadAll(from, engine.Forwards, 512)
		if err != nil {
			b.Fatal(err)
		}
		if from = page.Next; page.End {
			break
		}
	}
	l.CatchUp = float64(l.Events) / time.Since(begun).Seconds()
	l.Highest = memory(b, "VmHWM")
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return l
}

// readHead returns how many nanoseconds it takes to read the last event of the s-th stream.
func readHead(tb testing.TB, db *engine.DB, s int) float64 {
	tb.Helper()
	stream := fmt.Sprintf("order-%08d", s)
	begun := time.Now()
	page, err := db.ReadStream(stream, engine.LastRevision, engine.Backwards, 1)
	took := time.Since(begun)
	if err != nil || len(page.Records) != 1 || page.Last != largeStream-1 {
		tb.Fatal(stream, page, err)
	}
	return float64(took)
}

// memory reads a line of this process's status, in MiB; 0 where there is no /proc.
func memory(b *testing.B, name string) float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			var kb float64
			if _, err := fmt.Sscan(value, &kb); err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
