package groups

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// event is one event of the model's source; its place is its index plus one.
type event struct {
	id    ID
	pin   uint64
	match bool
}

// parkedEntry is one link in the model's parked stream; its revision is its index.
type parkedEntry struct {
	at uint64 // place of the event in the source
	id ID     // of the link
}

// flight is a delivery that the model holds for unanswered.
type flight struct {
	Delivery
	due time.Time
}

// world is the surroundings of a group: a source, what is durable, and consumers who do anything at all.
type world struct {
	source []event
	set    Settings

	// durable
	checkpoint uint64
	saved      bool
	parked     []parkedEntry
	hidden     uint64
	settled    map[uint64]bool // places that were acknowledged, skipped or parked at least once
	returned   map[uint64]bool // revisions of the parked stream that were settled after a replay

	// lost in a crash
	g        *Group
	next     uint64 // place to be offered next
	now      time.Time
	sizes    map[Consumer]int
	flying   map[ID]flight
	parking  []Parking
	save     uint64
	saving   bool
	below    uint64
	hiding   bool
	owners   map[uint64]Consumer // bucket -> who has it
	highest  map[uint64]uint64   // pin -> last place delivered
	retried  map[uint64]bool     // pin -> order is no longer promised
	consumer Consumer
}

func newWorld(t *rapid.T) *world {
	w := &world{now: begun, settled: map[uint64]bool{}, returned: map[uint64]bool{}}
	for n := range rapid.IntRange(1, 60).Draw(t, "events") {
		e := event{id: id(n + 1), pin: rapid.Uint64Range(0, 5).Draw(t, "pin"), match: rapid.IntRange(0, 3).Draw(t, "match") > 0}
		if n > 0 && rapid.IntRange(0, 9).Draw(t, "twin") == 0 {
			e.id = w.source[rapid.IntRange(0, n-1).Draw(t, "of")].id
		}
		w.source = append(w.source, e)
	}
	w.set = Settings{
		Strategy:       rapid.SampledFrom([]Strategy{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation}).Draw(t, "strategy"),
		MessageTimeout: time.Duration(rapid.IntRange(0, 3).Draw(t, "timeout")) * time.Second,
		MaxRetries:     int32(rapid.IntRange(0, 3).Draw(t, "retries")),
		MinCheckpoint:  uint64(rapid.IntRange(0, 5).Draw(t, "min")), MaxCheckpoint: uint64(rapid.IntRange(0, 9).Draw(t, "max")),
		CheckpointAfter: time.Duration(rapid.IntRange(0, 2).Draw(t, "after")) * time.Second,
		Buffer:          rapid.IntRange(1, 20).Draw(t, "buffer"), Batch: 1,
	}
	w.start()
	return w
}

func (w *world) start() {
	from := Start{Next: 1, Checkpoint: w.checkpoint, Saved: w.saved}
	w.next = 1
	if w.saved {
		w.next = w.checkpoint + 1
	}
	w.g = New(w.set, from, w.now)
	w.sizes, w.flying, w.parking, w.saving, w.hiding = map[Consumer]int{}, map[ID]flight{}, nil, false, false
	w.owners, w.highest, w.retried = map[uint64]Consumer{}, map[uint64]uint64{}, map[uint64]bool{}
}

// place returns where in the source a message comes from.
func (w *world) place(r Ref) uint64 {
	if r.Replay {
		return w.parked[r.At].at
	}
	return r.At
}

func (w *world) settle(r Ref) {
	w.settled[w.place(r)] = true
	if r.Replay {
		w.returned[r.At] = true
	}
}

func (w *world) advance(t *rapid.T) {
	fx := w.g.Advance(w.now)
	for _, d := range fx.Deliveries {
		w.delivered(t, d)
	}
	w.parking = append(w.parking, fx.Parkings...)
	for c, size := range w.sizes {
		held := 0
		for _, f := range w.flying {
			if f.To == c {
				held++
			}
		}
		if held > size {
			t.Fatalf("consumer %d holds %d messages, its buffer %d", c, held, size)
		}
	}
	if fx.Save {
		w.checkSave(t, fx.Checkpoint)
	}
	if fx.Truncate {
		if w.hiding || fx.Below <= w.hidden {
			t.Fatalf("hides %d again, or while hiding", fx.Below)
		}
		for r := w.hidden; r < fx.Below; r++ {
			if !w.returned[r] {
				t.Fatalf("hides parked message %d, which was not settled", r)
			}
		}
		w.hiding, w.below = true, fx.Below
	}
}

func (w *world) delivered(t *rapid.T, d Delivery) {
	if _, known := w.sizes[d.To]; !known {
		t.Fatalf("delivered to %d, who isn't there", d.To)
	}
	if other, twin := w.flying[d.ID]; twin {
		t.Fatalf("%+v flies while %+v does", d, other)
	}
	f := flight{Delivery: d}
	if w.set.MessageTimeout > 0 {
		f.due = w.now.Add(w.set.MessageTimeout)
	}
	w.flying[d.ID] = f
	if w.set.Strategy != Pinned && w.set.Strategy != PinnedByCorrelation {
		return
	}
	b := d.Pin % bucketCount
	if owner, ok := w.owners[b]; ok && owner != d.To {
		t.Fatalf("bucket %d moved from %d to %d", b, owner, d.To)
	}
	w.owners[b] = d.To
	if d.Retries == 0 && !d.Replay && !w.retried[d.Pin] {
		if d.At <= w.highest[d.Pin] {
			t.Fatalf("pin %d: %d after %d", d.Pin, d.At, w.highest[d.Pin])
		}
		w.highest[d.Pin] = d.At
	}
}

func (w *world) checkSave(t *rapid.T, at uint64) {
	if w.saving {
		t.Fatal("two checkpoints at once")
	}
	if w.saved && at <= w.checkpoint {
		t.Fatalf("checkpoint %d after %d", at, w.checkpoint)
	}
	for p := uint64(1); p <= at; p++ {
		if w.source[p-1].match && !w.settled[p] {
			t.Fatalf("checkpoint %d above %d, which is not settled", at, p)
		}
	}
	w.saving, w.save = true, at
}

// someone draws one of the flying messages.
func (w *world) someone(t *rapid.T) flight {
	ids := make([]ID, 0, len(w.flying))
	for id := range w.flying {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		t.Skip("nothing flies")
	}
	slices.SortFunc(ids, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	return w.flying[rapid.SampledFrom(ids).Draw(t, "message")]
}

func (w *world) join(t *rapid.T) {
	w.consumer++
	w.sizes[w.consumer] = rapid.IntRange(1, 4).Draw(t, "size")
	if err := w.g.Join(w.consumer, w.sizes[w.consumer]); err != nil {
		t.Fatal(err)
	}
	w.advance(t)
}

func (w *world) leave(t *rapid.T) {
	if len(w.sizes) == 0 {
		t.Skip("nobody is there")
	}
	all := make([]Consumer, 0, len(w.sizes))
	for c := range w.sizes {
		all = append(all, c)
	}
	slices.Sort(all)
	c := rapid.SampledFrom(all).Draw(t, "consumer")
	delete(w.sizes, c)
	for id, f := range w.flying {
		if f.To == c {
			delete(w.flying, id)
			w.retried[f.Pin] = true
		}
	}
	for b, owner := range w.owners {
		if owner == c {
			delete(w.owners, b)
		}
	}
	w.g.Leave(c)
	w.advance(t)
}

func (w *world) read(t *rapid.T) {
	for room := w.g.Room(); room > 0 && w.next <= uint64(len(w.source)); room-- {
		e := w.source[w.next-1]
		if e.match {
			w.g.Offer(Ref{ID: e.id, At: w.next, Pin: e.pin})
		} else {
			w.g.Pass(w.next, true)
		}
		w.next++
	}
	from, room := w.g.NextReplay()
	for ; room > 0; room-- {
		p := w.parked[from]
		w.g.OfferReplay(Ref{ID: p.id, At: from, Pin: w.source[p.at-1].pin})
		from++
	}
	w.advance(t)
}

func (w *world) ack(t *rapid.T) {
	f := w.someone(t)
	w.settle(f.Ref)
	delete(w.flying, f.ID)
	w.g.Ack(f.ID, ID{9, 9, 9})
	w.advance(t)
}

func (w *world) nack(t *rapid.T) {
	f := w.someone(t)
	action := rapid.SampledFrom([]Action{Unknown, Park, Retry, Skip, Stop}).Draw(t, "action")
	switch action {
	case Skip, Stop:
		w.settle(f.Ref)
	case Park:
	default:
		w.retried[f.Pin] = true
	}
	delete(w.flying, f.ID)
	w.g.Nack(action, "because", f.ID)
	w.advance(t)
}

func (w *world) tick(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "seconds")) * time.Second)
	for id, f := range w.flying {
		if w.set.MessageTimeout > 0 && !w.now.Before(f.due) {
			delete(w.flying, id)
			w.retried[f.Pin] = true
		}
	}
	w.g.Tick(w.now)
	w.advance(t)
}

// store lets what is being stored become durable, or fail.
func (w *world) store(t *rapid.T) {
	ok := rapid.IntRange(0, 4).Draw(t, "stored") > 0
	parking := w.parking
	w.parking = nil
	for _, p := range parking {
		if ok {
			w.durablyParked(p)
		}
		w.g.Parked(ok, p.ID)
	}
	if w.saving {
		w.saving = false
		if ok {
			w.checkpoint, w.saved = w.save, true
		}
		w.g.Checkpointed(ok)
	}
	if w.hiding {
		w.hiding = false
		if ok {
			w.hidden = w.below
		}
		w.g.Truncated(ok)
	}
	w.advance(t)
}

func (w *world) durablyParked(p Parking) {
	w.settle(p.Ref)
	w.parked = append(w.parked, parkedEntry{at: w.place(p.Ref), id: id(1000 + len(w.parked))})
}

func (w *world) replay(t *rapid.T) {
	w.g.Replay(w.hidden, uint64(len(w.parked)))
	w.read(t)
}

// crash loses what is not durable; what was being stored may have become so.
func (w *world) crash(t *rapid.T) {
	if w.saving && rapid.Bool().Draw(t, "saved") {
		w.checkpoint, w.saved = w.save, true
	}
	if w.hiding && rapid.Bool().Draw(t, "hidden") {
		w.hidden = w.below
	}
	for _, p := range w.parking {
		if rapid.Bool().Draw(t, "parked") {
			w.durablyParked(p)
		}
	}
	w.start()
}

// finish lets one good consumer end everything.
func (w *world) finish(t *rapid.T) {
	w.set.MessageTimeout = 0
	for c := range w.sizes {
		w.g.Leave(c)
	}
	clear(w.owners)
	clear(w.sizes)
	clear(w.flying)
	w.consumer++
	w.sizes[w.consumer] = 5
	if err := w.g.Join(w.consumer, 5); err != nil {
		t.Fatal(err)
	}
	for pin := range uint64(6) {
		w.retried[pin] = true
	}
	for range 1000 {
		w.now = w.now.Add(time.Hour)
		for id, f := range w.flying {
			w.settle(f.Ref)
			delete(w.flying, id)
			w.g.Ack(id)
		}
		for _, p := range w.parking {
			w.durablyParked(p)
			w.g.Parked(true, p.ID)
		}
		w.parking = nil
		w.g.Tick(w.now)
		if w.saving {
			w.checkpoint, w.saved, w.saving = w.save, true, false
			w.g.Checkpointed(true)
		}
		w.g.Flush()
		w.read(t)
	}
	for p, e := range w.source {
		if e.match && !w.settled[uint64(p+1)] {
			t.Fatalf("event %d was never settled", p+1)
		}
	}
	if !w.saved || w.checkpoint != uint64(len(w.source)) {
		t.Fatalf("everything is settled, but the checkpoint is %d of %d", w.checkpoint, len(w.source))
	}
	if s := w.g.Stats(); s.InFlight != 0 || s.Waiting != 0 || s.Retrying != 0 || len(w.g.open) != 0 {
		t.Fatalf("something is left: %+v", s)
	}
}

// TestNothingIsLost runs groups among consumers, crashes and failing disks that do anything in any order.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"join": w.join, "leave": w.leave, "read": w.read, "read again": w.read, "ack": w.ack, "ack again": w.ack, "nack": w.nack,
			"tick": w.tick, "store": w.store, "replay": w.replay, "crash": w.crash,
		})
		w.finish(t)
	})
}
