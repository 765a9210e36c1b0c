package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// wireInput is a compare-and-append of one event to a stream, or a read of its last revision.
type wireInput struct {
	stream   string
	read     bool
	expected int64 // -1: no stream
	id       uuid.UUID
}

// wireOutput is what the client heard.
type wireOutput struct {
	revision int64 // of the appended event; for a read the last one, -1 if there is no stream
	refused  bool
	unknown  bool // no answer: it took effect at some moment until the end of the history, or never
}

// step is the specification: a stream is a number. An append without an answer is one that may be ordered behind everything else.
func step(state, input, output any) (bool, any) {
	last, in, out := state.(int64), input.(wireInput), output.(wireOutput)
	fits := in.expected == last
	switch {
	case in.read:
		return out.revision == last, last
	case out.unknown && fits:
		return true, last + 1
	case out.unknown || out.refused:
		return out.unknown || !fits, last
	}
	return fits && out.revision == last+1, last + 1
}

// TestAppendsOverTheWireAreLinearizable lets sixteen writers race for three streams through official clients, some with deadlines that end
// in mid-append, and asks porcupine whether one order for each stream explains every answer (invariant 4). Afterwards a refused append
// has left nothing, and one without an answer at most its event (invariant 5).
func TestAppendsOverTheWireAreLinearizable(t *testing.T) {
	url := servertest.Start(t)
	h := &wireHistory{begun: time.Now(), outputs: map[uuid.UUID]wireOutput{}}
	var wg sync.WaitGroup
	for w := range 16 {
		c := connect(t, url)
		rng := rand.New(rand.NewPCG(uint64(w), 11))
		wg.Go(func() { h.race(t, c, w, rng) })
	}
	wg.Wait()
	c := connect(t, url)
	for i := range wireStreams {
		h.do(t, c, 16, wireInput{stream: wireStream(i), read: true}, time.Minute)
	}
	for i := range h.operations {
		if h.operations[i].Output.(wireOutput).unknown {
			h.operations[i].Return = math.MaxInt64
		}
	}
	model := porcupine.Model{Partition: byStream, Init: func() any { return int64(-1) }, Step: step, Equal: func(a, b any) bool { return a == b }}
	if result := porcupine.CheckOperationsTimeout(model, h.operations, 30*time.Second); result != porcupine.Ok {
		t.Errorf("porcupine says %v of %d operations", result, len(h.operations))
	}
	h.checkStored(t, c)
}

const wireStreams = 3

func wireStream(i int) string { return fmt.Sprintf("raced-%d", i) }

func byStream(history []porcupine.Operation) [][]porcupine.Operation {
	parts := make([][]porcupine.Operation, wireStreams)
	for _, op := range history {
		for i := range parts {
			if op.Input.(wireInput).stream == wireStream(i) {
				parts[i] = append(parts[i], op)
			}
		}
	}
	return parts
}

// wireHistory collects what clients did and heard.
type wireHistory struct {
	begun      time.Time
	mu         sync.Mutex
	operations []porcupine.Operation
	outputs    map[uuid.UUID]wireOutput // of appends
}

func (h *wireHistory) race(t *testing.T, c *esdb.Client, w int, rng *rand.Rand) {
	known := map[string]int64{}
	for range 40 {
		in := wireInput{stream: wireStream(rng.IntN(wireStreams)), read: rng.IntN(4) == 0, expected: -1}
		if last, ok := known[in.stream]; ok {
			in.expected = last
		}
		for i := range in.id {
			in.id[i] = byte(rng.Uint32())
		}
		limit := time.Minute
		if rng.IntN(5) == 0 && !in.read {
			limit = time.Duration(rng.IntN(6000)) * time.Microsecond
		}
		if out := h.do(t, c, w, in, limit); !out.unknown && !out.refused {
			known[in.stream] = out.revision
		} else {
			known[in.stream] = h.do(t, c, w, wireInput{stream: in.stream, read: true}, time.Minute).revision
		}
	}
}

// do performs one operation and writes it down.
func (h *wireHistory) do(t *testing.T, c *esdb.Client, w int, in wireInput, limit time.Duration) wireOutput {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	call := time.Since(h.begun).Nanoseconds()
	out := perform(ctx, c, in)
	op := porcupine.Operation{ClientId: w, Input: in, Output: out, Call: call, Return: time.Since(h.begun).Nanoseconds()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if in.read && out.unknown {
		t.Errorf("%s could not be read", in.stream)
		return out
	}
	h.operations = append(h.operations, op)
	if !in.read {
		h.outputs[in.id] = out
	}
	return out
}

func perform(ctx context.Context, c *esdb.Client, in wireInput) wireOutput {
	if in.read {
		return lastRevision(ctx, c, in.stream)
	}
	expected := esdb.ExpectedRevision(esdb.NoStream{})
	if in.expected >= 0 {
		expected = esdb.StreamRevision{Value: uint64(in.expected)}
	}
	e := esdb.EventData{EventID: in.id, EventType: "raced.v1", ContentType: esdb.ContentTypeBinary, Data: in.id[:]}
	result, err := c.AppendToStream(ctx, in.stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, e)
	if err == nil {
		return wireOutput{revision: int64(result.NextExpectedVersion)}
	}
	if fault, _ := esdb.FromError(err); fault.IsErrorCode(esdb.ErrorCodeWrongExpectedVersion) {
		return wireOutput{refused: true}
	}
	return wireOutput{unknown: true}
}

func lastRevision(ctx context.Context, c *esdb.Client, stream string) wireOutput {
	s, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil {
		return wireOutput{unknown: true}
	}
	defer s.Close()
	e, err := s.Recv()
	if fault, ok := esdb.FromError(err); !ok && fault.IsErrorCode(esdb.ErrorCodeResourceNotFound) {
		return wireOutput{revision: -1}
	}
	if err != nil {
		return wireOutput{unknown: true}
	}
	return wireOutput{revision: int64(e.OriginalEvent().EventNumber)}
}

// checkStored holds what is in the streams against what the clients heard.
func (h *wireHistory) checkStored(t *testing.T, c *esdb.Client) {
	t.Helper()
	stored := map[uuid.UUID]int64{}
	for i := range wireStreams {
		s, err := c.ReadStream(within(t), wireStream(i), esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		for {
			e, err := s.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			r := e.OriginalEvent()
			if _, twice := stored[r.EventID]; twice {
				t.Errorf("revision %d of %s is there twice", r.EventNumber, r.StreamID)
			}
			stored[r.EventID] = int64(r.EventNumber)
		}
		s.Close()
	}
	var acked, refused, unknown, took int
	for id, out := range h.outputs {
		revision, there := stored[id]
		switch {
		case out.refused:
			refused++
			if there {
				t.Errorf("a refused append left revision %d", revision)
			}
		case out.unknown:
			unknown++
			if there {
				took++
			}
		default:
			acked++
			if !there || revision != out.revision {
				t.Errorf("an append was answered with revision %d; stored: %v, at %d", out.revision, there, revision)
			}
		}
	}
	t.Logf("%d appends acknowledged, %d refused, %d without an answer (%d took effect)", acked, refused, unknown, took)
	if acked < 30 || refused < 50 || unknown < 10 {
		t.Error("too few of one kind to prove anything")
	}
}
