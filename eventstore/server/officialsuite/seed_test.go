package officialsuite

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
)

// A seeded store holds what the suite expects of the vendor's filled database: the events that its expectations list, in their order,
// and between them as many others as the streams' revisions ask for.
type seeded struct {
	dir       string                     // of the closed store
	positions map[uint64]engine.Position // the vendor's -> ours
}

const (
	dataset     = "dataset20M-"
	lastDataset = 11_607_400 // the vendor's position of the last set's first event
	headEnds    = 3_386      // the vendor's position behind the events that its start wrote, used by the tests
)

// expected is an event in the suite's expectations (resources/test).
type expected struct {
	StreamID       string
	StreamRevision struct{ Value uint64 }
	EventID        uuid.UUID
	EventType      string
	EventData      []byte
	UserMetadata   []byte
	ContentType    string
	Created        struct{ Seconds, Nanos int64 }
	Position       struct{ Commit uint64 }
}

func seed(t *testing.T, resources string) seeded {
	t.Helper()
	b := &builder{
		t: t, listed: map[string]expected{}, marked: map[string]uint64{}, next: map[string]uint64{},
		s: seeded{dir: t.TempDir(), positions: map[uint64]engine.Position{}},
	}
	b.load(resources)
	db, err := engine.Open(b.s.dir, engine.Config{Now: func() time.Time { return b.now }})
	if err != nil {
		t.Fatal(err)
	}
	b.db = db
	b.write()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return b.s
}

// builder writes a seeded store.
type builder struct {
	t      *testing.T
	db     *engine.DB
	now    time.Time           // the engine's clock
	order  []expected          // the events of which all is known, by the vendor's position
	listed map[string]expected // the same, by "revision@stream"
	marked map[string]uint64   // the vendor's positions of events of which little else is known, by "revision@stream"
	next   map[string]uint64   // revision, by stream
	s      seeded
}

func key(stream string, revision uint64) string { return fmt.Sprintf("%d@%s", revision, stream) }

// load reads the suite's expectations.
func (b *builder) load(resources string) {
	for _, name := range []string{"all-e0-e10", "all-c1788-p1788", "all-back-c3386-p3386", "all-back-e0-e10", "dataset20M-1800-e0-e10", "dataset20M-1800-e1999-e1990"} {
		var list []struct{ Event expected }
		b.parse(filepath.Join(resources, name+".json"), &list)
		for _, e := range list {
			b.listed[key(e.Event.StreamID, e.Event.StreamRevision.Value)] = e.Event
		}
	}
	for _, e := range b.listed {
		b.order = append(b.order, e)
	}
	slices.SortFunc(b.order, func(x, y expected) int { return int(x.Position.Commit) - int(y.Position.Commit) })
	var positions []struct{ Commit uint64 }
	var revisions []uint64
	b.parse(filepath.Join(resources, "all-positions-filtered-stream-194-e0-e30.json"), &positions)
	b.parse(filepath.Join(resources, "all-versions-filtered-stream-194-e0-e30.json"), &revisions)
	for i, p := range positions {
		stream := dataset + "0"
		if p.Commit > lastDataset {
			stream = dataset + "1800"
		}
		b.marked[key(stream, revisions[i])] = p.Commit
	}
}

func (b *builder) parse(name string, into any) {
	b.t.Helper()
	if err := json.Unmarshal(read(b.t, name), into); err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
}

// write writes the log in the vendor's order: what its start wrote, ten data sets, what its end wrote.
func (b *builder) write() {
	var head, tail []expected
	for _, e := range b.order {
		switch {
		case strings.HasPrefix(e.StreamID, dataset):
		case e.Position.Commit < headEnds:
			head = append(head, e)
		default:
			tail = append(tail, e)
		}
	}
	for _, e := range head {
		b.advance(e.StreamID, e.StreamRevision.Value+1, always(e.EventType))
	}
	b.s.positions[headEnds] = b.db.Last() + 1
	for set := uint64(0); set < 2000; set += 200 {
		b.advance(fmt.Sprint(dataset, set), 2000, repeating(set))
	}
	b.advance(dataset+"0", 6000, repeating(0))
	begun := map[string]bool{}
	for _, e := range tail {
		if !begun[e.StreamID] {
			b.advance(e.StreamID, e.StreamRevision.Value, always(e.EventType))
		}
		begun[e.StreamID] = true
	}
	for _, e := range tail {
		b.advance(e.StreamID, e.StreamRevision.Value+1, always(e.EventType))
	}
}

// always and repeating name the types of events that are not listed: a data set's types repeat after 200 events, beginning with its number.
func always(name string) func(uint64) string { return func(uint64) string { return name } }

func repeating(set uint64) func(uint64) string {
	return func(revision uint64) string { return fmt.Sprint("eventType-", set+revision%200) }
}

// advance writes a stream's events before revision until, the listed ones with all that is known of them.
func (b *builder) advance(stream string, until uint64, typeOf func(uint64) string) {
	var others []engine.Event
	for r := b.next[stream]; r < until; r++ {
		if e, ok := b.listed[key(stream, r)]; ok {
			b.append(stream, others)
			others = nil
			b.now = time.Unix(e.Created.Seconds, e.Created.Nanos)
			b.append(stream, []engine.Event{{ID: engine.ID(e.EventID), Type: e.EventType, JSON: e.ContentType == "application/json", Metadata: e.UserMetadata, Data: e.EventData}})
			b.s.positions[e.Position.Commit] = b.db.Last()
			continue
		}
		others = append(others, engine.Event{
			ID: engine.ID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(key(stream, r)))), Type: typeOf(r), JSON: true,
			Metadata: []byte(`{"seeded":true}`), Data: fmt.Appendf(nil, `{"revision":%d}`, r),
		})
	}
	b.append(stream, others)
}

func (b *builder) append(stream string, events []engine.Event) {
	if len(events) == 0 {
		return
	}
	done, err := b.db.Append(context.Background(), stream, engine.ExpectAny, events)
	if err != nil {
		b.t.Fatalf("seeding %s: %v", stream, err)
	}
	first := b.next[stream]
	b.next[stream] += uint64(len(events))
	if done.Revision != int64(b.next[stream])-1 {
		b.t.Fatalf("seeding %s: revision %d, want %d", stream, done.Revision, b.next[stream]-1)
	}
	for i := range events {
		if p, ok := b.marked[key(stream, first+uint64(i))]; ok {
			b.s.positions[p] = done.Position - engine.Position(len(events)-1-i)
		}
	}
}
