package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/eventstore/engine"
)

func TestLinksSayWhereTheyComeFrom(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	mustAppend(t, db, "order-1", engine.ExpectAny, event(1), event(2))
	if _, err := db.Tombstone(context.Background(), "order-1", engine.ExpectAny); err != nil {
		t.Fatal(err)
	}
	linked(t, db)
	page, err := db.ReadStream("$ce-order", 0, engine.Forwards, 10)
	if err != nil || len(page.Records) != 3 || !page.End || page.Last != 2 {
		t.Fatalf("%+v %v", page, err)
	}
	source, err := db.ReadAll(2, engine.Forwards, 1)
	if err != nil {
		t.Fatal(err)
	}
	target, l := source.Records[0], page.Records[1]
	if string(l.Data) != "1@order-1" || l.Created != target.Created || l.Position != 2 || l.ID == target.ID || l.ID[6]>>4 != 5 {
		t.Errorf("%+v", l)
	}
	for i, want := range []string{
		`{"$c":1,"$causedBy":"%s","$o":"order-1","$p":1,"$v":"1:-1:1:4"}`,
		`{"$c":2,"$causedBy":"%s","$o":"order-1","$p":2,"$v":"1:-1:1:4"}`,
		`{"$c":3,"$causedBy":"%s","$deleted":-1,"$o":"order-1","$p":3,"$v":"1:-1:1:4"}`,
	} {
		m := map[string]any{}
		if err := json.Unmarshal(page.Records[i].Metadata, &m); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(m) // keys in order
		if want = fmt.Sprintf(want, m["$causedBy"]); err != nil || string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if all := everything(t, db); len(all) != 3 {
		t.Errorf("the log holds %d events; links must not be among them", len(all))
	}
}

func TestNobodyElseWritesLinkStreams(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	for _, stream := range []string{"$ce-order", "$et-placed", "$category-order", "$streams"} {
		if _, err := db.Append(context.Background(), stream, engine.ExpectAny, []engine.Event{event(1)}); !errors.Is(err, engine.ErrLinkStream) {
			t.Errorf("append to %s: %v", stream, err)
		}
		if _, err := db.Begin(stream, engine.ExpectAny, []engine.Event{event(1)}); !errors.Is(err, engine.ErrLinkStream) {
			t.Errorf("append to %s: %v", stream, err)
		}
		if _, err := db.Delete(context.Background(), stream, engine.ExpectAny); !errors.Is(err, engine.ErrLinkStream) {
			t.Errorf("delete %s: %v", stream, err)
		}
		if _, err := db.Tombstone(context.Background(), stream, engine.ExpectAny); !errors.Is(err, engine.ErrLinkStream) {
			t.Errorf("tombstone %s: %v", stream, err)
		}
	}
	for _, stream := range []string{"$ce", "$stream", "$streams-1", "$scavenges", "ce-order"} {
		mustAppend(t, db, stream, engine.ExpectAny, event(1))
	}
}

// TestLinkStreamsHaveLimits writes metadata of a link stream, and a link stream's metadata stream is an ordinary one.
func TestLinkStreamsHaveLimits(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	for n := range uint64(10) {
		mustAppend(t, db, "order-1", engine.ExpectAny, event(n))
	}
	linked(t, db)
	for i, c := range []struct{ metadata, want string }{
		{`{"$maxCount":2}`, "[8 9]"},
		{`{"$tb":7}`, "[7 8 9]"},
		{`{"$tb":12}`, "[]"},
		{`{"$maxAge":100000}`, "[0 1 2 3 4 5 6 7 8 9]"},
	} {
		mustAppend(t, db, "$$$ce-order", engine.ExpectAny, engine.Event{ID: engine.ID{byte(i + 1)}, Type: engine.MetadataType, JSON: true, Data: []byte(c.metadata)})
		for _, from := range []engine.Revision{0, 4} {
			page, err := db.ReadStream("$ce-order", from, engine.Forwards, 100)
			got := []engine.Revision{}
			for _, r := range page.Records {
				got = append(got, r.Revision)
			}
			if want := c.want; err != nil || !page.End || from == 0 && fmt.Sprint(got) != want {
				t.Errorf("%s: %v %+v %v", c.metadata, got, page.End, err)
			}
		}
		page, err := db.ReadStream("$ce-order", engine.LastRevision, engine.Backwards, 100)
		if err != nil || len(page.Records) != len(strings.Fields(strings.Trim(c.want, "[]"))) {
			t.Errorf("%s backwards: %d, %v", c.metadata, len(page.Records), err)
		}
	}
}

// TestNamesThatCannotBeLinked appends types that no stream's name can hold: the events are stored, and the index goes on.
func TestNamesThatCannotBeLinked(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	for i, kind := range []string{strings.Repeat("t", 5000), "\xff", "fine"} {
		e := event(uint64(i))
		e.Type = kind
		mustAppend(t, db, strings.Repeat("c", 4090)+"-1", engine.ExpectAny, e)
	}
	linked(t, db)
	if got, _ := readLinks(t, db, "$et-fine", engine.Forwards, smallPages); len(got) != 1 {
		t.Error(got)
	}
	if got, _ := readLinks(t, db, "$ce-"+strings.Repeat("c", 4090), engine.Forwards, smallPages); len(got) != 3 {
		t.Error(len(got))
	}
}

// TestManyCategories has 10,000 of them: each is right, and the memory that stays doesn't follow their number.
func TestManyCategories(t *testing.T) {
	const categories = 10_000
	db := open(t, t.TempDir(), engine.Config{CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	round := func(from, to int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for n := from + w; n < to; n += 8 {
					if _, err := db.Append(context.Background(), fmt.Sprintf("category%d-1", n), engine.ExpectAny, []engine.Event{event(uint64(n)), event(uint64(n) + 1<<32)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		linked(t, db)
	}
	round(0, categories/2)
	before := heap()
	round(categories/2, categories)
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d more categories cost %d bytes of memory", categories/2, grown)
	}
	if err := db.RebuildLinks(); err != nil {
		t.Fatal(err)
	}
	linked(t, db)
	for n := 0; n < categories; n += 7 {
		if got, _ := readLinks(t, db, fmt.Sprintf("$ce-category%d", n), engine.Forwards, smallPages); len(got) != 2 {
			t.Fatalf("category %d: %q", n, got)
		}
	}
	page, err := db.ReadStream("$et-tested.v1", engine.LastRevision, engine.Backwards, 1)
	if err != nil || page.Last != 2*categories-1 {
		t.Errorf("%d %v", page.Last, err)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSubscriberSeesEveryLinkOnce appends from many goroutines while a cursor follows $ce-order by signals alone.
func TestSubscriberSeesEveryLinkOnce(t *testing.T) {
	const writers, each = 8, 200
	db := open(t, t.TempDir(), engine.Config{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				stream := fmt.Sprintf("order-%d", w)
				if n%3 == 0 {
					stream = fmt.Sprintf("cart-%d", w)
				}
				if _, err := db.Append(context.Background(), stream, engine.ExpectAny, []engine.Event{event(uint64(w*each + n))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const orders = writers * (each - (each+2)/3)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var got []engine.Record
	for next := engine.Revision(0); len(got) < orders; {
		changed := db.WatchStream("$ce-order")
		page, err := db.ReadStream("$ce-order", next, engine.Forwards, 100)
		if errors.Is(err, engine.ErrStreamMissing) {
			page, err = engine.StreamPage{Next: next, End: true}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Records...)
		next = page.Next
		if page.End && len(got) < orders {
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("no signal after %d links of %d", len(got), orders)
			}
		}
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, r := range got {
		if int(r.Revision) != i || i > 0 && r.Position <= got[i-1].Position || seen[string(r.Data)] {
			t.Fatalf("link %d is %+v", i, r)
		}
		seen[string(r.Data)] = true
	}
}

// TestReadOnlyStoresSayWhereTheirLinksEnd opens stores for reading only, with a whole index and without one.
func TestReadOnlyStoresSayWhereTheirLinksEnd(t *testing.T) {
	dir := linkedStore(t)
	check := func(stream string, want error) {
		t.Helper()
		db, err := engine.OpenReadOnly(dir, engine.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := readAllLinks(db, stream, engine.Forwards); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", stream, err, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	check("$ce-order", nil)
	tamper(t, dir, func(p *pebble.DB) error { return p.DeleteRange([]byte("l"), []byte("m"), pebble.Sync) })
	check("$ce-order", engine.ErrReadOnly)
}
