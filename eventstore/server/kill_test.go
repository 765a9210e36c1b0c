package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

var kills = flag.Int("kills", 24, "how often TestKillsLoseNothing kills the server")

const (
	killChild   = "SERVER_TEST_CHILD_DIR"
	killWriters = 8
	killLimit   = 15 * time.Second // of make test: after this, ten kills are enough
)

// TestKillsLoseNothing runs the server as a process of its own and kills it with signal 9 at random instants while eight writers append
// through the official client. After each restart every acknowledged append must be there, byte for byte at its revision and position,
// and every other one whole or absent; what was whole or absent is then repeated, and must be there once (invariants 1, 2, 3, 5).
//
//	go test -run KillsLoseNothing -v ./eventstore/server -args -kills 500
func TestKillsLoseNothing(t *testing.T) {
	if dir := os.Getenv(killChild); dir != "" {
		serveUntilKilled(dir)
		return
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 8))
	l := &killLedger{byID: map[uuid.UUID]*killAppend{}}
	writers := make([]*killWriter, killWriters)
	for w := range writers {
		writers[w] = &killWriter{l: l, name: fmt.Sprintf("writer-%d", w), rng: rand.New(rand.NewPCG(seed, uint64(w)))}
	}
	dir := t.TempDir()
	begun, done := time.Now(), 0
	for done < *kills && (done < 10 || *kills > 24 || time.Since(begun) < killLimit) {
		p := startChild(t, dir)
		l.verify(t, p.client)
		l.load(t, p, writers, 1+rng.IntN(150), time.Duration(rng.IntN(3000))*time.Microsecond)
		done++
		if t.Failed() {
			t.Fatalf("kill %d of seed %d", done, seed)
		}
	}
	p := startChild(t, dir)
	l.verify(t, p.client)
	_ = p.client.Close()
	p.kill(t)
	t.Logf("seed %d: %d kills in %.1f s; %d appends acknowledged, each looked up after every later kill, 0 lost, 0 torn, 0 doubled; %d calls got no answer and were repeated",
		seed, done, time.Since(begun).Seconds(), l.acked, l.unanswered)
}

// serveUntilKilled is the child: it prints its address, and ends with its parent.
func serveUntilKilled(dir string) {
	db, err := engine.Open(dir, engine.Config{MemTableBytes: 128 << 10, FloorEvery: 20 * time.Millisecond})
	if err != nil {
		fmt.Println("WRONG", err)
		return
	}
	s, err := server.New(db, server.Config{})
	if err != nil {
		fmt.Println("WRONG", err)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("WRONG", err)
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the parent does
		os.Exit(3)
	}()
	fmt.Println("listening", l.Addr())
	fmt.Println("WRONG", s.Serve(context.Background(), l))
}

// child is a running server and a client of it.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	url    string
	client *esdb.Client // for looks; writers have their own
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillsLoseNothing$")
	cmd.Env = append(os.Environ(), killChild+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !ok {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the server did not start: %q %v", line, err)
	}
	url := "esdb://" + addr + "?tls=false&maxDiscoverAttempts=1"
	return &child{cmd: cmd, stdin: stdin, url: url, client: connect(t, url)}
}

// kill sends signal 9, and returns when the process is gone.
func (p *child) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Errorf("the server ended by itself: %v", err)
	}
	_ = p.stdin.Close()
}

// killAppend is one append and what is known of it.
type killAppend struct {
	stream   string
	expected esdb.ExpectedRevision
	events   []esdb.EventData
	acked    bool
	revision uint64 // of the last event, if acknowledged
	position uint64
}

// killLedger is what the writers of all rounds sent and heard.
type killLedger struct {
	mu    sync.Mutex
	byID  map[uuid.UUID]*killAppend
	sent  []*killAppend
	acked int

	unanswered int // calls
}

// load lets the writers write, kills the server a moment after so many answers, and waits for them.
func (l *killLedger) load(t *testing.T, p *child, writers []*killWriter, answers int, moment time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answered := make(chan struct{})
	var count atomic.Int64
	var wg sync.WaitGroup
	for _, w := range writers {
		// A client of its own: one that finds no server leaves everybody waiting who is in another call of it.
		c := connect(t, p.url)
		wg.Go(func() {
			defer c.Close()
			for w.append(ctx, t, c) {
				if count.Add(1) == int64(answers) {
					close(answered)
				}
			}
		})
	}
	select {
	case <-answered:
		<-time.After(moment) // a random instant, not a wait for something
	case <-time.After(30 * time.Second):
		t.Errorf("%d of %d appends were acknowledged in 30 s", count.Load(), answers)
	}
	p.kill(t)
	cancel()
	wg.Wait()
	_ = p.client.Close() // not earlier: the client panics if it is closed in mid-call
}

// killWriter appends to a stream of its own, at the revision it knows, and to one that all share.
type killWriter struct {
	l    *killLedger
	name string
	rng  *rand.Rand
	next uint64      // revision of its own stream's next event
	open *killAppend // an append whose outcome is unknown: repeated before anything else
}

// append sends one append, and reports whether it was acknowledged.
func (w *killWriter) append(ctx context.Context, t *testing.T, c *esdb.Client) bool {
	a := w.open
	if a == nil {
		a = w.propose()
	}
	result, err := c.AppendToStream(ctx, a.stream, esdb.AppendToStreamOptions{ExpectedRevision: a.expected}, a.events...)
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	if err != nil {
		if e, ok := esdb.FromError(err); !ok && e.IsErrorCode(esdb.ErrorCodeWrongExpectedVersion) {
			t.Errorf("an append of %s at the revision it is at was refused", a.stream)
		}
		w.open = a
		w.l.unanswered++
		return false
	}
	w.open = nil
	a.acked, a.revision, a.position = true, result.NextExpectedVersion, result.CommitPosition
	w.l.acked++
	if a.stream == w.name {
		w.next = a.revision + 1
	}
	return true
}

func (w *killWriter) propose() *killAppend {
	a := &killAppend{stream: w.name, expected: esdb.NoStream{}}
	switch {
	case w.rng.IntN(3) == 0:
		a.stream, a.expected = "shared", esdb.Any{}
	case w.next > 0:
		a.expected = esdb.StreamRevision{Value: w.next - 1}
	}
	for range 1 + w.rng.IntN(3) {
		id := uuid.UUID{}
		for i := range id {
			id[i] = byte(w.rng.Uint32())
		}
		a.events = append(a.events, esdb.EventData{
			EventID: id, EventType: "killed.v1", ContentType: esdb.ContentTypeBinary,
			Data: bytes.Repeat(id[:], 1+w.rng.IntN(40)), Metadata: id[:4],
		})
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.l.sent = append(w.l.sent, a)
	for _, e := range a.events {
		w.l.byID[e.EventID] = a
	}
	return a
}

// verify reads the whole log over the wire and holds it against the ledger. Nobody may be writing.
func (l *killLedger) verify(t *testing.T, c *esdb.Client) {
	t.Helper()
	s, err := c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}, Direction: esdb.Forwards}, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[*killAppend][]*esdb.RecordedEvent{}
	next := map[string]uint64{}
	last := uint64(0)
	for {
		e, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r := e.OriginalEvent()
		if r.Position.Commit <= last || r.EventNumber != next[r.StreamID] {
			t.Errorf("revision %d of %s at position %d, after position %d; expected revision %d", r.EventNumber, r.StreamID, r.Position.Commit, last, next[r.StreamID])
		}
		last, next[r.StreamID] = r.Position.Commit, r.EventNumber+1
		a := l.byID[r.EventID]
		if a == nil {
			t.Fatalf("position %d was never sent", last)
		}
		found[a] = append(found[a], r)
	}
	for _, a := range l.sent {
		if stored := found[a]; len(stored) > 0 || a.acked {
			a.verify(t, stored)
		}
	}
}

// verify wants all events of the append, together, each once and unchanged.
func (a *killAppend) verify(t *testing.T, stored []*esdb.RecordedEvent) {
	t.Helper()
	if len(stored) != len(a.events) {
		t.Errorf("an append of %d events to %s (acknowledged: %v) has %d in the log", len(a.events), a.stream, a.acked, len(stored))
		return
	}
	for i, r := range stored {
		e := a.events[i]
		if r.StreamID != a.stream || r.EventID != e.EventID || r.EventType != e.EventType || !bytes.Equal(r.Data, e.Data) || !bytes.Equal(r.UserMetadata, e.Metadata) {
			t.Errorf("position %d was not sent so", r.Position.Commit)
		}
		back := uint64(len(stored) - 1 - i)
		if a.acked && (r.EventNumber != a.revision-back || r.Position.Commit != a.position-back) {
			t.Errorf("revision %d of %s is at position %d, the answer said %d at %d", r.EventNumber, a.stream, r.Position.Commit, a.revision-back, a.position-back)
		}
		if r.EventNumber != stored[0].EventNumber+uint64(i) || r.Position.Commit != stored[0].Position.Commit+uint64(i) {
			t.Errorf("the append at position %d is not in one piece", stored[0].Position.Commit)
		}
	}
}
