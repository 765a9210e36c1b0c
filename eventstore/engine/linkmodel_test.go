package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/eventstore/engine"
)

// failer is a test, or rapid's idea of one.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// linked waits until the link streams hold the whole log.
func linked(t failer, db *engine.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.WaitLinked(ctx, db.Last()); err != nil {
		t.Fatal(err)
	}
}

// wantLinks says for each link stream, from the log alone, which links it has to hold, as "type data position". It is written from the
// protocol's description, not from the engine.
func wantLinks(log []engine.Record) map[string][]string {
	want := map[string][]string{}
	for _, r := range log {
		add := func(name, kind, data string) {
			want[name] = append(want[name], fmt.Sprintf("%s %s %d", kind, data, r.Position))
		}
		to := fmt.Sprintf("%d@%s", r.Revision, r.Stream)
		category := ""
		if dash := strings.IndexByte(r.Stream, '-'); dash > 0 && r.Stream[0] != '$' {
			category = r.Stream[:dash]
		}
		if category != "" {
			target := to
			if r.Type == "$>" {
				target = string(r.Data)
			}
			add("$ce-"+category, "$>", target)
		}
		switch {
		case r.Type == "$>":
		case r.Type == "$streamDeleted", r.Type == "$metadata" && strings.Contains(string(r.Data), `"$tb":9223372036854775807`):
			add("$et-$deleted", "$>", to)
		default:
			add("$et-"+r.Type, "$>", to)
		}
		if r.Revision == 0 {
			add("$streams", "$>", to)
			if category != "" {
				add("$category-"+category, "$@", r.Stream)
			}
		}
	}
	return want
}

// readLinks reads a link stream in pages of so many links, and checks what every link has: its revision, and an id that is its own.
func readLinks(t failer, db *engine.DB, stream string, dir engine.Direction, pages int) (got []string, ids []engine.ID) {
	t.Helper()
	from := engine.Revision(0)
	if dir == engine.Backwards {
		from = engine.LastRevision
	}
	var revisions []engine.Revision
	for {
		page, err := db.ReadStream(stream, from, dir, pages)
		if errors.Is(err, engine.ErrStreamMissing) {
			return nil, nil
		}
		if err != nil {
			t.Fatalf("%s: %v", stream, err)
		}
		for _, r := range page.Records {
			if r.Stream != stream || r.JSON {
				t.Fatalf("%s: %+v", stream, r)
			}
			revisions = append(revisions, r.Revision)
			got = append(got, fmt.Sprintf("%s %s %d", r.Type, r.Data, r.Position))
			ids = append(ids, r.ID)
		}
		if page.End {
			break
		}
		from = page.Next
	}
	if dir == engine.Backwards {
		slices.Reverse(got)
		slices.Reverse(ids)
		slices.Reverse(revisions)
	}
	for i, r := range revisions {
		if int(r) != i {
			t.Fatalf("%s: the link at %d has revision %d", stream, i, r)
		}
	}
	return got, ids
}

// aLink names a link for checkLinks.
type aLink struct {
	stream   string
	revision int
}

// Sizes of pages: where a page ends is where a reader starts anew, which many small ones try and one large one spares.
const (
	smallPages = 3
	largePages = 512
)

// checkLinks wants every link stream to be the filter of the log, in both directions, with the ids in known, to which it adds.
func checkLinks(t failer, db *engine.DB, log []engine.Record, known map[aLink]engine.ID, pages int) {
	t.Helper()
	taken := map[engine.ID]aLink{}
	for _, stream := range []string{"$et-$>", "$et-$streamDeleted", "$ce-", "$ce-$x", "$ce-$$order", "$category-$x", "$ce-order-a"} {
		if got, _ := readLinks(t, db, stream, engine.Forwards, pages); len(got) > 0 {
			t.Fatalf("%s should not be: %q", stream, got)
		}
	}
	for stream, want := range wantLinks(log) {
		for _, dir := range []engine.Direction{engine.Forwards, engine.Backwards} {
			got, ids := readLinks(t, db, stream, dir, pages)
			if !slices.Equal(got, want) {
				t.Fatalf("%s (backwards: %v):\n got %q\nwant %q", stream, dir, got, want)
			}
			for i, id := range ids {
				name := aLink{stream, i}
				if k, ok := known[name]; ok && k != id {
					t.Fatalf("the id of %s, link %d, changed", stream, i)
				}
				if other, ok := taken[id]; ok && other != name {
					t.Fatalf("%v and %v have the same id", other, name)
				}
				known[name], taken[id] = id, name
			}
		}
	}
}

// TestLinkStreamsAreFiltersOfTheLog performs random operations, and wants each link stream to be a beginning of the filter of the log at
// any time, and all of it when the index has caught up; whatever was closed, reopened, scavenged, or built anew in between.
func TestLinkStreamsAreFiltersOfTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		db := openMem(t, fs)
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		streams := rapid.SampledFrom([]string{"order-1", "order-2", "order-a-b", "or-1", "order", "-1", "$x-1", "$$order-1", "é-1", "\x00-\x00"})
		types := rapid.SampledFrom([]string{"placed", "paid", "$metadata", "$>", "$", "order"})
		known := map[aLink]engine.ID{}
		serial := uint64(0)
		var history []engine.Record // the log as if nothing had been scavenged
		remember := func() []engine.Record {
			for _, r := range everything(t, db) {
				if int(r.Position) > len(history) {
					history = append(history, r)
				}
			}
			return history
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				stream := streams.Draw(rt, "stream")
				var events []engine.Event
				for range rapid.IntRange(1, 5).Draw(rt, "events") {
					serial++
					e := event(serial)
					e.Type = types.Draw(rt, "type")
					if e.Type == "$>" {
						e.Data = fmt.Appendf(nil, "%d@order-%d", serial%3, serial%2)
					}
					events = append(events, e)
				}
				if _, err := db.Append(context.Background(), stream, engine.ExpectAny, events); err != nil && !errors.Is(err, engine.ErrStreamDeleted) {
					rt.Fatal(err)
				}
			},
			"delete": func(rt *rapid.T) {
				if s := streams.Draw(rt, "stream"); !strings.HasPrefix(s, "$$") {
					_, err := db.Delete(context.Background(), s, engine.ExpectAny)
					if err != nil && !errors.Is(err, engine.ErrStreamDeleted) && !errors.Is(err, engine.ErrWrongRevision) {
						rt.Fatal(err)
					}
				}
			},
			"tombstone": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "seldom") > 0 {
					return
				}
				if _, err := db.Tombstone(context.Background(), "or-1", engine.ExpectAny); err != nil && !errors.Is(err, engine.ErrStreamDeleted) {
					rt.Fatal(err)
				}
			},
			"limit": func(rt *rapid.T) {
				serial++
				e := event(serial)
				e.Type, e.Data = engine.MetadataType, []byte(`{"$maxCount":1}`)
				stream := rapid.SampledFrom([]string{"$$order-1", "$$order-2", "$$$x-1"}).Draw(rt, "stream")
				if _, err := db.Append(context.Background(), stream, engine.ExpectAny, []engine.Event{e}); err != nil {
					rt.Fatal(err)
				}
			},
			"scavenge": func(rt *rapid.T) {
				remember()
				if _, err := db.Scavenge(context.Background(), engine.ScavengeConfig{}); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": func(rt *rapid.T) {
				if err := db.Close(); err != nil {
					rt.Fatal(err)
				}
				db = openMem(t, fs)
			},
			"rebuild": func(rt *rapid.T) {
				if err := db.RebuildLinks(); err != nil {
					rt.Fatal(err)
				}
			},
			"early": func(rt *rapid.T) {
				want := wantLinks(remember())
				for stream := range want {
					got, _ := readLinks(rt, db, stream, engine.Forwards, smallPages)
					if len(got) > len(want[stream]) || !slices.Equal(got, want[stream][:len(got)]) {
						rt.Fatalf("%s:\n got %q\nwant %q or less", stream, got, want[stream])
					}
				}
			},
			"caught up": func(rt *rapid.T) {
				linked(rt, db)
				checkLinks(rt, db, remember(), known, smallPages)
			},
		})
	})
}
