package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/annalhq/annal/eventstore/engine"
)

// TestMetadataIsNeverOverlooked writes metadata to some of many streams, in this life of the store and in the one before, and beyond what
// the filter can hold: each must take effect on who writes and on who reads, and the others must have none.
func TestMetadataIsNeverOverlooked(t *testing.T) {
	for _, limit := range []int{1 << 20, 20} {
		dir := t.TempDir()
		cfg := engine.LimitNames(engine.Config{}, limit)
		db := open(t, dir, cfg)
		const streams = 120
		for i := range uint64(streams) {
			mustAppend(t, db, fmt.Sprintf("s-%d", i), engine.ExpectAny, event(3*i), event(3*i+1))
			switch i % 4 {
			case 0:
				meta := event(3*i + 2)
				meta.Type, meta.Data = engine.MetadataType, []byte(`{"$maxCount":1}`)
				mustAppend(t, db, fmt.Sprintf("$$s-%d", i), engine.ExpectAny, meta)
			case 1:
				if _, err := db.Delete(context.Background(), fmt.Sprintf("s-%d", i), 1); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 {
			for i := range uint64(streams) {
				name := fmt.Sprintf("s-%d", i)
				want := [...]int{1, 0, 2, 2}[i%4]
				if got := wholeStream(t, db, name); len(got) != want {
					t.Errorf("%s shows %d events, want %d", name, len(got), want)
				}
				_, err := db.Append(context.Background(), name, engine.ExpectExists, []engine.Event{event(3 * i)})
				if deleted := errors.Is(err, engine.ErrStreamDeleted); deleted != (i%4 == 1) {
					t.Errorf("an append to %s that expects it to exist: %v", name, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, dir, cfg)
		}
	}
}

// TestStreamsThatAreThereAreNeverTakenForNew writes streams in several lives of a store, some of them while the names of the earlier
// lives are still being read, and asks for all of them each time: a stream that was overlooked would begin again at revision 0.
func TestStreamsThatAreThereAreNeverTakenForNew(t *testing.T) {
	for _, limit := range []int{1 << 20, 700} {
		dir := t.TempDir()
		cfg := engine.LimitNames(engine.Config{}, limit)
		const lives, each = 3, 600
		for life := range lives {
			db := open(t, dir, cfg)
			for i := range uint64(each) {
				mustAppend(t, db, fmt.Sprintf("life-%d-%d", life, i), engine.ExpectNoStream, event(i))
			}
			if complete := engine.Filtered(db); complete != (life*each <= limit) {
				t.Errorf("life %d: the filter is complete: %v", life, complete)
			}
			for n := range (life + 1) * each {
				name := fmt.Sprintf("life-%d-%d", n/each, n%each)
				_, err := db.Append(context.Background(), name, engine.ExpectNoStream, []engine.Event{event(1 << 20)})
				var wrong *engine.RevisionError
				if !errors.As(err, &wrong) || wrong.Current != 0 {
					t.Fatalf("life %d: a second beginning of %s: %v", life, name, err)
				}
				if page, err := db.ReadStream(name, 0, engine.Forwards, 2); err != nil || len(page.Records) != 1 {
					t.Fatalf("life %d: %s: %v", life, name, err)
				}
				if _, err := db.ReadStream("no-"+name, 0, engine.Forwards, 2); !errors.Is(err, engine.ErrStreamMissing) {
					t.Fatalf("life %d: no-%s: %v", life, name, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
