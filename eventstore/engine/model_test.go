package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/eventstore/engine"
)

// model is the engine said simply: a slice and some maps. It is written from the protocol's decision table, not from the engine.
type model struct {
	log     []engine.Record
	streams map[string][]int // indices into log
	ended   map[string]bool
	tb      map[string]int64 // "$tb" of a stream's metadata; absent: none
	keep    map[string]int64 // "$maxCount"
	kept    map[string]int64 // revisions below were scavenged
	lost    map[int]bool     // indices into log: scavenged
}

const gone = int64(9223372036854775807)

func newModel() *model {
	return &model{streams: map[string][]int{}, ended: map[string]bool{}, tb: map[string]int64{}, keep: map[string]int64{}, kept: map[string]int64{}, lost: map[int]bool{}}
}

func (m *model) last(stream string) int64 { return int64(len(m.streams[stream])) - 1 }

func (m *model) dead(stream string) bool {
	return m.ended[stream] || m.ended[strings.TrimPrefix(stream, "$$")]
}

func (m *model) add(stream string, e engine.Event) engine.Appended {
	r := engine.Record{Position: engine.Position(len(m.log) + 1), Stream: stream, Revision: engine.Revision(len(m.streams[stream])), Event: e}
	m.streams[stream] = append(m.streams[stream], len(m.log))
	m.log = append(m.log, r)
	return engine.Appended{Position: r.Position, Revision: int64(r.Revision)}
}

// known finds the events at the place where expected says they were appended, or anywhere for ExpectAny and ExpectExists.
func (m *model) known(stream string, x engine.Expected, events []engine.Event) (n int, at engine.Appended) {
	for i, e := range events {
		found := -1
		for r, idx := range m.streams[stream] {
			if m.log[idx].ID != e.ID || m.lost[idx] {
				continue
			}
			if x == engine.ExpectAny || x == engine.ExpectExists || int64(r) == int64(x)+1+int64(i) {
				found = idx
			}
		}
		if found < 0 {
			return n, at
		}
		n++
		at = engine.Appended{Position: m.log[found].Position, Revision: int64(m.log[found].Revision)}
	}
	return n, at
}

func (m *model) append(stream string, x engine.Expected, events []engine.Event) (engine.Appended, error) {
	cur, soft := m.last(stream), m.tb[stream] == gone
	described := m.last("$$"+stream) >= 0
	wrong := &engine.RevisionError{Stream: stream, Expected: x, Current: cur}
	if m.dead(stream) {
		return engine.Appended{}, engine.ErrStreamDeleted
	}
	n, at := m.known(stream, x, events)
	repeated := n == len(events) && n > 0
	switch {
	case x == engine.ExpectExists && soft:
		return engine.Appended{}, engine.ErrStreamDeleted
	case x == engine.ExpectExists && cur < 0 && !described:
		return engine.Appended{}, wrong
	case x >= 0 && int64(x) > cur:
		return engine.Appended{}, wrong
	case x >= -1 && int64(x) == cur:
	case x == engine.ExpectAny || x == engine.ExpectExists || x == engine.ExpectNoStream && soft:
		if repeated {
			return at, nil
		}
		if n > 0 {
			return engine.Appended{}, wrong
		}
	case repeated:
		return at, nil
	default:
		return engine.Appended{}, wrong
	}
	if len(events) == 0 {
		return engine.Appended{Empty: true, Revision: cur}, nil
	}
	for _, e := range events {
		at = m.add(stream, e)
	}
	if soft {
		m.tb[stream] = cur + 1
		m.add("$$"+stream, engine.Event{Type: engine.MetadataType})
		delete(m.keep, stream)
	}
	return at, nil
}

// describe appends metadata; on a softly deleted stream the store adds an event that undeletes it.
func (m *model) describe(stream string, keep, tb int64, e engine.Event) (engine.Appended, error) {
	if m.dead(stream) {
		return engine.Appended{}, engine.ErrStreamDeleted
	}
	if n, at := m.known("$$"+stream, engine.ExpectAny, []engine.Event{e}); n == 1 {
		return at, nil
	}
	soft := m.tb[stream] == gone
	at := m.add("$$"+stream, e)
	m.keep[stream] = keep
	delete(m.tb, stream)
	if tb > 0 {
		m.tb[stream] = tb
	}
	if soft {
		m.tb[stream] = m.last(stream) + 1
		m.add("$$"+stream, engine.Event{Type: engine.MetadataType})
	}
	return at, nil
}

func (m *model) delete(stream string, x engine.Expected) error {
	cur, soft := m.last(stream), m.tb[stream] == gone
	described := m.last("$$"+stream) >= 0
	wrong := &engine.RevisionError{Stream: stream, Expected: x, Current: cur}
	switch {
	case m.dead(stream):
		return engine.ErrStreamDeleted
	case x == engine.ExpectExists && soft:
		return engine.ErrStreamDeleted
	case cur < 0 && !described:
		return wrong
	case x == engine.ExpectAny, x == engine.ExpectExists, int64(x) == cur, x == engine.ExpectNoStream && soft:
		m.add("$$"+stream, engine.Event{Type: engine.MetadataType})
		m.tb[stream] = gone
		delete(m.keep, stream)
		return nil
	}
	return wrong
}

func (m *model) tombstone(stream string, x engine.Expected) error {
	cur, soft := m.last(stream), m.tb[stream] == gone
	switch {
	case m.dead(stream):
		return engine.ErrStreamDeleted
	case x == engine.ExpectExists && soft:
		return engine.ErrStreamDeleted
	case x == engine.ExpectAny, int64(x) == cur, x == engine.ExpectNoStream && soft,
		x == engine.ExpectExists && (cur >= 0 || m.last("$$"+stream) >= 0):
		m.log = append(m.log, engine.Record{Position: engine.Position(len(m.log) + 1), Stream: stream, Revision: engine.Tombstone, Event: engine.Event{Type: engine.TombstoneType}})
		m.ended[stream] = true
		return nil
	}
	return &engine.RevisionError{Stream: stream, Expected: x, Current: cur}
}

// read returns the revisions that a reader sees, ascending.
func (m *model) read(stream string) ([]engine.Revision, error) {
	if m.dead(stream) {
		return nil, engine.ErrStreamDeleted
	}
	last := m.last(stream)
	if last < 0 || m.tb[stream] == gone {
		return nil, engine.ErrStreamMissing
	}
	first := m.tb[stream]
	if k := m.keep[stream]; k > 0 {
		first = max(first, last-k+1)
	}
	if strings.HasPrefix(stream, "$$") {
		first = last
	}
	first = max(first, m.kept[stream])
	var rs []engine.Revision
	for r := first; r <= last; r++ {
		rs = append(rs, engine.Revision(r))
	}
	return rs, nil
}

// scavenge removes what no reader of a stream sees, but for each stream's last event.
func (m *model) scavenge() (removed int) {
	for stream, events := range m.streams {
		last := int64(len(events)) - 1
		parent, metadata := strings.CutPrefix(stream, "$$")
		first := max(m.tb[stream], 0)
		if k := m.keep[stream]; k > 0 {
			first = max(first, last-k+1)
		}
		first = min(first, last)
		switch {
		case m.ended[stream], metadata && m.ended[parent]:
			first = last + 1
		case metadata:
			first = last
		}
		for r := m.kept[stream]; r < first; r++ {
			m.lost[events[r]] = true
			removed++
		}
		m.kept[stream] = max(first, m.kept[stream])
	}
	return removed
}

// TestModel performs random operations on the engine and on the model, reopens the engine now and then, and wants equal answers and
// equal contents.
func TestModel(t *testing.T) {
	steps := 3000
	if testing.Short() {
		steps = 500
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed, steps) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	db, m := open(t, dir, engine.Config{}), newModel()
	ctx := context.Background()
	serial := uint64(0)
	var pool []engine.Event // events sent before, for repeats
	for step := range steps {
		stream := fmt.Sprintf("s-%d", rng.IntN(12))
		x := []engine.Expected{engine.ExpectAny, engine.ExpectNoStream, engine.ExpectExists, engine.Expected(m.last(stream)), engine.Expected(m.last(stream)), engine.Expected(rng.IntN(8))}[rng.IntN(6)]
		if x == -1 && rng.IntN(2) == 0 {
			x = engine.ExpectNoStream
		}
		var got, want engine.Appended
		var gotErr, wantErr error
		var what string
		switch op := rng.IntN(100); {
		case op < 70:
			var events []engine.Event
			for range rng.IntN(4) {
				serial++
				events = append(events, event(serial))
			}
			if len(pool) > 3 && rng.IntN(3) == 0 { // a repeat, perhaps cut off or prolonged
				at := rng.IntN(len(pool) - 3)
				events = append(slices.Clone(pool[at:at+1+rng.IntN(3)]), events[:rng.IntN(len(events)+1)]...)
			}
			pool = append(pool, events...)
			what = fmt.Sprintf("append %d to %s expecting %d", len(events), stream, x)
			got, gotErr = db.Append(ctx, stream, x, events)
			want, wantErr = m.append(stream, x, events)
		case op < 80:
			serial++
			keep, tb := int64(1+rng.IntN(5)), int64(rng.IntN(6))
			e := event(serial)
			e.Type, e.Data = engine.MetadataType, fmt.Appendf(nil, `{"$maxCount":%d,"$tb":%d,"x":9007199254740993}`, keep, tb)
			what = fmt.Sprintf("describe %s: %s", stream, e.Data)
			got, gotErr = db.Append(ctx, "$$"+stream, engine.ExpectAny, []engine.Event{e})
			want, wantErr = m.describe(stream, keep, tb, e)
		case op < 90:
			what = fmt.Sprintf("delete %s expecting %d", stream, x)
			_, gotErr = db.Delete(ctx, stream, x)
			wantErr = m.delete(stream, x)
		case op < 91:
			what = fmt.Sprintf("tombstone %s expecting %d", stream, x)
			_, gotErr = db.Tombstone(ctx, stream, x)
			wantErr = m.tombstone(stream, x)
		case op < 98:
			checkStream(t, db, m, stream)
			checkStream(t, db, m, "$$"+stream)
			continue
		case op < 99:
			would, err := db.Scavenge(ctx, engine.ScavengeConfig{DryRun: true})
			if err != nil {
				t.Fatal(err)
			}
			did, err := db.Scavenge(ctx, engine.ScavengeConfig{Rate: 1 << 30})
			if want := uint64(m.scavenge()); err != nil || did.Events != want || would.Events != want || did.Bytes != would.Bytes {
				t.Fatalf("step %d: scavenged %+v, would have %+v, %v; want %d events", step, did, would, err, want)
			}
			continue
		default:
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, dir, engine.Config{})
			continue
		}
		if diff := cmp.Diff(fmt.Sprint(wantErr), fmt.Sprint(gotErr)); diff != "" || !cmp.Equal(want, got) {
			t.Fatalf("step %d: %s: got %+v %v, want %+v %v", step, what, got, gotErr, want, wantErr)
		}
	}
	checkLog(t, db, m)
	for stream := range m.streams {
		checkStream(t, db, m, stream)
	}
}

func checkStream(t *testing.T, db *engine.DB, m *model, stream string) {
	t.Helper()
	want, wantErr := m.read(stream)
	for _, dir := range []engine.Direction{engine.Forwards, engine.Backwards} {
		from := engine.Revision(0)
		if dir == engine.Backwards {
			from = engine.LastRevision
			slices.Reverse(want)
		}
		var got []engine.Revision
		for {
			page, err := db.ReadStream(stream, from, dir, 3)
			if !errors.Is(err, wantErr) {
				t.Fatalf("%s: %v, want %v", stream, err, wantErr)
			}
			for _, r := range page.Records {
				if r.Stream != stream || m.log[r.Position-1].Stream != stream || m.log[r.Position-1].Revision != r.Revision {
					t.Fatalf("%s: wrong record %+v", stream, r)
				}
				got = append(got, r.Revision)
			}
			if page.End || err != nil {
				break
			}
			from = page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: revisions %v, want %v (backwards: %v)", stream, got, want, dir)
		}
	}
}

func checkLog(t *testing.T, db *engine.DB, m *model) {
	t.Helper()
	var got []engine.Record
	for from := engine.Position(0); ; {
		page, err := db.ReadAll(from, engine.Forwards, 100)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Records...)
		if from = page.Next; page.End {
			break
		}
	}
	var back []engine.Record
	for from := engine.End; ; {
		page, err := db.ReadAll(from, engine.Backwards, 100)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, page.Records...)
		if from = page.Next; page.End {
			break
		}
	}
	slices.Reverse(back)
	if diff := cmp.Diff(got, back); diff != "" {
		t.Fatalf("forwards and backwards differ:\n%s", diff)
	}
	if len(got) != len(m.log)-len(m.lost) {
		t.Fatalf("%d events, want %d less %d", len(got), len(m.log), len(m.lost))
	}
	for i, r := range got {
		w := m.log[r.Position-1]
		if m.lost[int(r.Position-1)] {
			t.Fatalf("position %d was scavenged and is there", r.Position)
		}
		if r.Position != w.Position || r.Stream != w.Stream || r.Revision != w.Revision || r.Type != w.Type {
			t.Fatalf("event %d is %+v, want %+v", i, r, w)
		}
		if w.Data != nil && (r.ID != w.ID || string(r.Data) != string(w.Data)) {
			t.Fatalf("event %d has other content", i)
		}
	}
}
