package engine_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/annalhq/annal/eventstore/engine"
)

// ledger is what writers sent and what they were answered, over all lives of a store. It can say of any state of the disk
// whether it is one that the answers allow (invariants 1, 2, 3, 5).
type ledger struct {
	mu    sync.Mutex
	sent  map[engine.ID]*sending // by the first event's id
	acked []receipt              // in the order of the answers
}

// sending is one append.
type sending struct {
	stream string
	events []engine.Event
}

// receipt is one answer: what was sent and where the store said it is. s is nil for a deletion, whose event the store makes itself.
type receipt struct {
	s        *sending
	stream   string
	position engine.Position // of the last event
	revision int64           // of the last event
}

// survey is what a disk held.
type survey struct {
	log    []engine.Record
	events int // acknowledged events found at their places
}

func newLedger() *ledger { return &ledger{sent: map[engine.ID]*sending{}} }

func (l *ledger) send(s *sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[s.events[0].ID] = s
}

func (l *ledger) answered(r receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, r)
}

func (l *ledger) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// examine reads all of db, and wants the first n answers kept and every append whole or absent. Nobody may be writing.
func (l *ledger) examine(t *testing.T, db *engine.DB, n int) survey {
	t.Helper()
	log := everything(t, db)
	l.checkWhole(t, log)
	found := survey{log: log}
	for _, a := range l.acked[:n] {
		if int(a.position) > len(log) {
			t.Errorf("lost: an append was acknowledged at position %d, the log ends at %d", a.position, len(log))
			return found
		}
		if a.s == nil {
			if r := log[a.position-1]; r.Stream != "$$"+a.stream || int64(r.Revision) != a.revision {
				t.Errorf("changed: a deletion of %s was acknowledged at position %d, there is %s", a.stream, a.position, r.Stream)
			}
			continue
		}
		found.events += len(a.s.events)
		for i, e := range a.s.events {
			back := len(a.s.events) - 1 - i
			r := log[int(a.position)-1-back]
			if r.Stream != a.stream || int64(r.Revision) != a.revision-int64(back) || !sameEvent(&r.Event, &e) {
				t.Errorf("changed: event %d of an append to %s was acknowledged with position %d, there is revision %d of %s", i, a.stream, r.Position, r.Revision, r.Stream)
			}
		}
	}
	checkIndex(t, db, log)
	linked(t, db)
	checkLinks(t, db, log, map[aLink]engine.ID{}, largePages)
	return found
}

// checkWhole wants the log to consist of appends that were sent, each once, whole, and byte for byte.
func (l *ledger) checkWhole(t *testing.T, log []engine.Record) {
	t.Helper()
	seen := map[engine.ID]bool{}
	for i := 0; i < len(log); {
		first := log[i]
		if int(first.Rest) >= len(log)-i {
			t.Errorf("torn: the append at position %d lacks %d events", first.Position, first.Rest)
			return
		}
		group := log[i : i+1+int(first.Rest)]
		i += len(group)
		for j, r := range group {
			if int(r.Rest) != len(group)-1-j {
				t.Errorf("torn: position %d should be followed by %d events of its append, it says %d", r.Position, len(group)-1-j, r.Rest)
			}
		}
		if strings.HasPrefix(first.Stream, "$$") {
			continue // a deletion: the event is the store's own
		}
		s := l.sent[first.ID]
		if s == nil || seen[first.ID] || len(group) < len(s.events) {
			t.Errorf("position %d begins with no append that was sent, or with one for the second time, or one cut short", first.Position)
			continue
		}
		seen[first.ID] = true
		for j, r := range group {
			switch {
			case j < len(s.events) && (r.Stream != s.stream || !sameEvent(&r.Event, &s.events[j]) || r.Revision != first.Revision+engine.Revision(j)):
				t.Errorf("position %d was never sent so", r.Position)
			case j >= len(s.events) && r.Stream != "$$"+s.stream: // what recreates a deleted stream
				t.Errorf("position %d is in an append that did not hold it", r.Position)
			}
		}
	}
}

// everything reads the whole log; holes and bad checksums are errors of the engine's.
func everything(t *testing.T, db *engine.DB) (all []engine.Record) {
	t.Helper()
	for from := engine.Position(1); ; {
		page, err := db.ReadAll(from, engine.Forwards, 512)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Records...)
		if from = page.Next; page.End {
			return all
		}
	}
}

// checkIndex wants each stream to have revisions 0, 1, 2 ... in the log, and to be read by its index as the log has it, behind what
// its metadata hides.
func checkIndex(t *testing.T, db *engine.DB, log []engine.Record) {
	t.Helper()
	streams := map[string][]engine.Record{}
	for _, r := range log {
		if int(r.Revision) != len(streams[r.Stream]) {
			t.Errorf("position %d has revision %d, its stream has %d events before", r.Position, r.Revision, len(streams[r.Stream]))
		}
		streams[r.Stream] = append(streams[r.Stream], r)
	}
	for stream, records := range streams {
		if strings.HasPrefix(stream, "$$") {
			records = records[len(records)-1:] // of metadata, the last event is shown
		} else if meta := streams["$$"+stream]; len(meta) > 0 {
			records = records[min(len(records), truncatedBefore(t, &meta[len(meta)-1])):]
		}
		if !slices.EqualFunc(records, wholeStream(t, db, stream), sameRecord) {
			t.Errorf("%s by its index is not what the log has", stream)
		}
	}
}

// sameEvent is bytes.Equal for events: cmp.Equal took three quarters of the time.
func sameEvent(a, b *engine.Event) bool {
	return a.ID == b.ID && a.Type == b.Type && a.JSON == b.JSON && bytes.Equal(a.Metadata, b.Metadata) && bytes.Equal(a.Data, b.Data)
}

func sameRecord(a, b engine.Record) bool {
	return a.Position == b.Position && a.Stream == b.Stream && a.Revision == b.Revision && a.Created == b.Created && a.Rest == b.Rest &&
		sameEvent(&a.Event, &b.Event)
}

func truncatedBefore(t *testing.T, meta *engine.Record) int {
	t.Helper()
	var before int
	if _, err := fmt.Sscanf(string(meta.Data), `{"$tb":%d}`, &before); err != nil {
		t.Errorf("position %d is no metadata: %s", meta.Position, meta.Data)
	}
	return before
}

// wholeStream reads a stream to its end; nil if there is none.
func wholeStream(t *testing.T, db *engine.DB, stream string) (all []engine.Record) {
	t.Helper()
	for from := engine.Revision(0); ; {
		page, err := db.ReadStream(stream, from, engine.Forwards, 512)
		if err != nil {
			return nil
		}
		all = append(all, page.Records...)
		if from = page.Next; page.End {
			return all
		}
	}
}
