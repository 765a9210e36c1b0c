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
		db := open(t, dir, engine.Config{})
		engine.LimitDescribed(db, limit)
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
			db = open(t, dir, engine.Config{})
		}
	}
}
