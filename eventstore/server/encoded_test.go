package server

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"

	"github.com/annalhq/annal/eventstore/engine"
)

// FuzzTheShortWay wants an event encoded by hand to be the message that protobuf makes of it.
func FuzzTheShortWay(f *testing.F) {
	f.Add(uint64(1), uint64(0), int64(0), []byte("0123456789abcdef"), "order-1", "placed", []byte(`{"m":1}`), []byte(`{"d":1}`))
	f.Add(uint64(1)<<63, uint64(1)<<63-1, int64(-5), make([]byte, 16), "", "", []byte(nil), []byte(nil))
	f.Add(uint64(300), uint64(127), int64(17_000_000_000_000_000), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x80aaaaaaa"), "s", "t", make([]byte, 127), make([]byte, 20_000))
	f.Fuzz(func(t *testing.T, p, revision uint64, created int64, id []byte, stream, kind string, meta, data []byte) {
		r := engine.Record{Position: engine.Position(p), Revision: engine.Revision(revision), Created: engine.Ticks(created), Stream: stream}
		r.Type, r.JSON, r.Metadata, r.Data = kind, p%2 == 0, meta, data
		copy(r.ID[:], id)
		for _, e := range []encoder{{}, {textIDs: true}} {
			want := e.event(&r)
			if _, err := proto.Marshal(want); err != nil {
				return // a type that is no UTF-8 can't be sent, and isn't taken
			}
			short := e.encoded(&r)
			var got streams.ReadResp
			if err := proto.Unmarshal(short, &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(want, &got) {
				t.Errorf("got %v\nwant %v", &got, want)
			}
			if len(short) != proto.Size(want) || len(short) != cap(short) {
				t.Errorf("%d bytes in room for %d, want %d", len(short), cap(short), proto.Size(want))
			}
		}
	})
}
