package engine_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/eventstore/engine"
)

// FuzzRecord decodes arbitrary bytes, and encodes and decodes arbitrary records.
func FuzzRecord(f *testing.F) {
	r := engine.Record{Position: 7, Stream: "order-1", Revision: 3, Rest: 2, Event: event(1)}
	f.Add(uint64(7), engine.EncodeRecord(&r), "order-1", "placed", []byte("m"), []byte("d"))
	f.Add(uint64(0), []byte{}, "", "", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, p uint64, raw []byte, stream, kind string, meta, data []byte) {
		if got, err := engine.DecodeRecord(engine.Position(p), raw); err == nil {
			if again := engine.EncodeRecord(&got); len(again) > len(raw) {
				t.Errorf("%d bytes became %d", len(raw), len(again))
			}
		}
		want := engine.Record{Position: engine.Position(p), Stream: stream, Revision: engine.Revision(p), Created: engine.Ticks(p), Rest: p, Event: engine.Event{
			ID: engine.ID{1, byte(p)}, Type: kind, JSON: p%2 == 0, Metadata: bytes.Clone(meta), Data: bytes.Clone(data)}}
		got, err := engine.DecodeRecord(want.Position, engine.EncodeRecord(&want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzKeys wants keys to sort as their numbers do.
func FuzzKeys(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(255), uint64(256))
	f.Fuzz(func(t *testing.T, a, b, r, s uint64) {
		order := func(x, y uint64) int {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
		if bytes.Compare(engine.AppendEventKey(nil, engine.Position(a)), engine.AppendEventKey(nil, engine.Position(b))) != order(a, b) {
			t.Error("event keys are out of order")
		}
		want := order(a, b)
		if want == 0 {
			want = order(r, s)
		}
		x := engine.AppendStreamKey(nil, engine.Position(a), engine.Revision(r))
		y := engine.AppendStreamKey(nil, engine.Position(b), engine.Revision(s))
		if bytes.Compare(x, y) != want {
			t.Error("stream keys are out of order")
		}
	})
}
