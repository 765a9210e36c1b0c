package commands

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/eventstore"
)

// inOneRound sends the calls while the stream's lane is taken, so that one leader answers all of them.
func (h *Handlers) inOneRound(t testing.TB, stream eventstore.Stream, calls ...func()) {
	t.Helper()
	if !h.lanes.enter(stream, &waiter{lead: make(chan struct{}, 1)}) {
		t.Fatal("the lane was taken")
	}
	var group sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i, call := range calls {
		group.Go(call)
		for waiting := 0; waiting <= i; <-tick.C {
			h.lanes.mu.Lock()
			waiting = len(h.lanes.open[stream])
			h.lanes.mu.Unlock()
		}
	}
	h.lanes.handOver(stream)
	group.Wait()
}

// TestWhatIsDecidedOnUnstoredEventsIsDecidedAgain: in one round, the first command takes ten, and loses the race against another process; decided again,
// it is refused. The second, behind it in the round, must neither be refused for want of room that nobody took, nor be told that it has nothing to
// do because of ten that nobody ever sees.
func TestWhatIsDecidedOnUnstoredEventsIsDecidedAgain(t *testing.T) {
	for name, full := range map[string]error{"refused": errFull, "nothing to do": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			a, b := h.process(t, Ports{}), h.process(t, Ports{})
			var first, second error
			var receipt Receipt
			var raced bool
			a.inOneRound(t, eventstore.Inventory.Stream("S"),
				func() {
					_, first = a.decideOn(t.Context(), "first", func(int64) ([]inventory.Event, error) {
						if raced {
							return nil, errFull
						}
						raced = true
						_, _, err := b.receive(t.Context(), "other", "S", 1, 100)
						return []inventory.Event{inventory.Received{SKU: "S", Quantity: 10}}, err
					})
				},
				func() {
					receipt, second = a.decideOn(t.Context(), "second", func(s int64) ([]inventory.Event, error) {
						if s >= 10 {
							return nil, full
						}
						return []inventory.Event{inventory.Received{SKU: "S", Quantity: 1}}, nil
					})
				})
			refusal(t, first, errFull)
			if stored, err := a.at(t.Context(), eventstore.Inventory.Stream("S"), 1); second != nil || err != nil || receipt.Revision != 1 || receipt.Position != stored.Position {
				t.Errorf("the second, which had room: %+v, %v; stored at %d: %v", receipt, second, stored.Position, err)
			}
		})
	}
}

// TestOneKeyThriceInOneRoundIsOneEvent: the first is appended, the second is its repeat, the third brings other input.
func TestOneKeyThriceInOneRoundIsOneEvent(t *testing.T) {
	a := newHouse(t).process(t, Ports{})
	stream := eventstore.Inventory.Stream("S")
	var got [3]Receipt
	var errs [3]error
	call := func(i int, n int64) func() {
		return func() { got[i], _, errs[i] = a.receive(t.Context(), "k", "S", n, 100) }
	}
	a.inOneRound(t, stream, call(0, 1), call(1, 1), call(2, 2))
	must(t, errs[0])
	must(t, errs[1])
	refusal(t, errs[2], ErrKeyReused)
	if got[1].Replayed = false; got[0] != got[1] || got[0].Revision != 0 {
		t.Errorf("first %+v, again %+v", got[0], got[1])
	}
	n := 0
	for _, err := range a.store.ReadStream(t.Context(), stream, 0) {
		must(t, err)
		n++
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestWhoLosesEveryRaceIsToldInTheEnd: each time the command decides, another process appends first.
func TestWhoLosesEveryRaceIsToldInTheEnd(t *testing.T) {
	h := newHouse(t)
	a, b := h.process(t, Ports{}), h.process(t, Ports{})
	decided := 0
	_, err := a.decideOn(t.Context(), "unlucky", func(int64) ([]inventory.Event, error) {
		decided++
		if decided > 2*appendAttempts {
			return nil, errFull // it would go on for ever
		}
		_, _, err := b.receive(t.Context(), fmt.Sprint("other", decided), "S", 1, 1000)
		return []inventory.Event{inventory.Received{SKU: "S", Quantity: 1}}, err
	})
	if refusal(t, err, ErrBusy); decided != appendAttempts {
		t.Errorf("decided %d times, want %d", decided, appendAttempts)
	}
}

// TestALeaderWhoseCallerLeavesAnswersTheOthers: the first command's caller goes away while it leads; whoever waits behind it gets its answer.
func TestALeaderWhoseCallerLeavesAnswersTheOthers(t *testing.T) {
	a := newHouse(t).process(t, Ports{})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var first, second error
	receive := func(int64) ([]inventory.Event, error) {
		return []inventory.Event{inventory.Received{SKU: "S", Quantity: 1}}, nil
	}
	a.inOneRound(t, eventstore.Inventory.Stream("S"),
		func() {
			_, first = a.decideOn(ctx, "first", func(s int64) ([]inventory.Event, error) { leave(); return receive(s) })
		},
		func() { _, second = a.decideOn(t.Context(), "second", receive) })
	must(t, first)
	must(t, second)
	if got := must1(a.at(t.Context(), eventstore.Inventory.Stream("S"), 1))(t); got.Revision != 1 {
		t.Errorf("stored: %+v", got)
	}
}

func (h *Handlers) decideOn(ctx context.Context, key string, decide func(int64) ([]inventory.Event, error)) (Receipt, error) {
	r, err := h.begin(ctx, admin, "Test", Meta{IdempotencyKey: key}, "", nil)
	if err != nil {
		return Receipt{}, err
	}
	done, _, err := execute(ctx, h, tallies, r, "S", func(s int64, _ eventstore.Revision) ([]inventory.Event, error) { return decide(s) })
	return done, err
}
