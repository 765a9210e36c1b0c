package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/annalhq/annal/eventstore/engine"
)

// casInput is a compare-and-append of one event, or a read of the stream's end if read is set.
type casInput struct {
	stream   string
	read     bool
	expected engine.Expected
}

// casOutput is the revision of the appended event, or -2 for a refusal; for a read, the last revision.
type casOutput struct{ revision int64 }

var casModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			s := op.Input.(casInput).stream
			by[s] = append(by[s], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range by {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return int64(-1) },
	Step: func(state, input, output any) (bool, any) {
		last, in, out := state.(int64), input.(casInput), output.(casOutput)
		switch {
		case in.read:
			return out.revision == last, last
		case int64(in.expected) == last:
			return out.revision == last+1, last + 1
		}
		return out.revision == -2, last
	},
	Equal: func(a, b any) bool { return a == b },
}

// TestCompareAndAppendIsLinearizable lets clients race for few streams, and asks porcupine whether some order explains what each
// of them saw (invariant 4).
func TestCompareAndAppendIsLinearizable(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	begun := time.Now()
	for client := range 8 {
		rng := rand.New(rand.NewPCG(uint64(client), 6))
		wg.Go(func() {
			last := map[string]int64{}
			for range 150 {
				in := casInput{stream: fmt.Sprintf("s-%d", rng.IntN(3)), read: rng.IntN(3) == 0}
				if known, ok := last[in.stream]; ok {
					in.expected = engine.Expected(known)
				} else {
					in.expected = engine.ExpectNoStream
				}
				call := time.Since(begun).Nanoseconds()
				out, err := compareAndAppend(db, in, rng.Uint64())
				if err != nil {
					t.Error(err)
					return
				}
				if out.revision != -2 {
					last[in.stream] = out.revision
				}
				op := porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: time.Since(begun).Nanoseconds()}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if result := porcupine.CheckOperationsTimeout(casModel, history, 20*time.Second); result != porcupine.Ok {
		t.Fatalf("the history of %d operations is %v", len(history), result)
	}
	appended := slices.DeleteFunc(history, func(op porcupine.Operation) bool {
		return op.Input.(casInput).read || op.Output.(casOutput).revision < 0
	})
	if int(db.Last()) != len(appended) || len(appended) < 50 {
		t.Fatalf("%d events are stored, %d were acknowledged", db.Last(), len(appended))
	}
}

func compareAndAppend(db *engine.DB, in casInput, id uint64) (casOutput, error) {
	if in.read {
		page, err := db.ReadStream(in.stream, engine.LastRevision, engine.Backwards, 1)
		if errors.Is(err, engine.ErrStreamMissing) {
			return casOutput{-1}, nil
		}
		return casOutput{int64(page.Last)}, err
	}
	a, err := db.Append(context.Background(), in.stream, in.expected, []engine.Event{event(id)})
	if errors.Is(err, engine.ErrWrongRevision) {
		return casOutput{-2}, nil
	}
	return casOutput{a.Revision}, err
}

// TestFollowersSeeEveryEventOnceAndInOrder lets readers follow the log and a stream by signal while writers append, and wants
// them to see what a later read sees (invariants 3, 6).
func TestFollowersSeeEveryEventOnceAndInOrder(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	const writers, each = 8, 200
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			next := engine.Position(1)
			for next <= writers*each {
				changed := db.WatchAll()
				page, err := db.ReadAll(next, engine.Forwards, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range page.Records {
					if r.Position != next {
						t.Errorf("position %d after %d", r.Position, next-1)
						return
					}
					next++
				}
				if page.End && next <= writers*each {
					select {
					case <-changed:
					case <-ctx.Done():
						t.Errorf("no signal behind position %d of %d", next-1, db.Last())
						return
					}
				}
			}
		})
		wg.Go(func() {
			next := engine.Revision(0)
			for next < each {
				changed := db.WatchStream("w-3")
				page, err := db.ReadStream("w-3", next, engine.Forwards, 7)
				if err != nil && !errors.Is(err, engine.ErrStreamMissing) {
					t.Error(err)
					return
				}
				for _, r := range page.Records {
					if r.Revision != next {
						t.Errorf("revision %d instead of %d", r.Revision, next)
						return
					}
					next++
				}
				if (page.End || err != nil) && next < each {
					select {
					case <-changed:
					case <-ctx.Done():
						t.Errorf("no signal behind revision %d", next)
						return
					}
				}
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for n := range uint64(each) {
				if _, err := db.Append(ctx, fmt.Sprintf("w-%d", w), engine.Expected(int64(n)-1), []engine.Event{event(uint64(w)*each + n)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestAbandonedAppendsLeaveTheQueueWorking cancels appends at random moments: the log goes on, and each abandoned append is there
// wholly or not at all.
func TestAbandonedAppendsLeaveTheQueueWorking(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	var wg sync.WaitGroup
	for w := range 16 {
		rng := rand.New(rand.NewPCG(uint64(w), 7))
		wg.Go(func() {
			for range 60 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(800))*time.Microsecond)
				_, err := db.Append(ctx, fmt.Sprintf("s-%d", w), engine.ExpectAny, []engine.Event{event(rng.Uint64()), event(rng.Uint64())})
				cancel()
				if err != nil && !errors.Is(err, engine.ErrOutcomeUnknown) && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustAppend(t, db, "last", engine.ExpectNoStream, event(1))
	log := everything(t, db)
	checkIndex(t, db, log)
	if len(log)%2 != 1 {
		t.Errorf("%d events: an append of two is torn", len(log))
	}
}
