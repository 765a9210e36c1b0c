package engine_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
)

// TestClockJumpsBreakNoOrder sets the clock an hour back or forth before every append and now and then reopens the store. Positions and
// revisions go on as if nothing were (invariant 3); created is what the clock said; $maxAge shows exactly the events that are young by it.
func TestClockJumpsBreakNoOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	now := time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC)
	cfg := engine.Config{Now: func() time.Time { return now }}
	dir := t.TempDir()
	db := open(t, dir, cfg)
	const limit = 30 * time.Minute
	limits := func(n uint64, age int64) engine.Event {
		e := event(n)
		e.Type, e.Data = engine.MetadataType, fmt.Appendf(nil, `{"$maxAge":%d}`, age)
		return e
	}
	mustAppend(t, db, "$$young", engine.ExpectNoStream, limits(1, int64(limit/time.Second)))
	mustAppend(t, db, "$$old", engine.ExpectNoStream, limits(2, 1<<62))
	var created []engine.Ticks
	back := 0
	for n := range uint64(200) {
		before := now
		now = now.Add(time.Duration(rng.IntN(7201)-3600) * time.Second)
		if now.Before(before) {
			back++
		}
		created = append(created, engine.TicksOf(now))
		a := mustAppend(t, db, "young", engine.ExpectAny, event(10+2*n))
		b := mustAppend(t, db, "old", engine.ExpectAny, event(11+2*n))
		if a.Revision != int64(n) || b.Revision != int64(n) || b.Position != a.Position+1 || b.Position != engine.Position(4+2*n) {
			t.Fatalf("append %d is at %+v and %+v", n, a, b)
		}
		if n%40 == 39 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, dir, cfg)
		}
		var want, got []engine.Revision
		for r, at := range created {
			if at >= engine.TicksOf(now.Add(-limit)) {
				want = append(want, engine.Revision(r))
			}
		}
		for _, r := range wholeStream(t, db, "young") {
			got = append(got, r.Revision)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("at %s $maxAge shows revisions %v, want %v", now, got, want)
		}
	}
	if log := everything(t, db); len(log) != 402 || back < 50 {
		t.Fatalf("%d events in the log, the clock went back %d times", len(log), back)
	}
	for r, e := range wholeStream(t, db, "old") {
		if e.Revision != engine.Revision(r) || e.Created != created[r] {
			t.Fatalf("revision %d is %d, created %d, want %d", r, e.Revision, e.Created, created[r])
		}
	}
}
