package server

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/annalhq/annal/eventstore/engine"
)

// marshalled makes a seed.
func marshalled(f *testing.F, m proto.Message) []byte {
	f.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

// FuzzReadRequest parses whatever comes as the request of a read: a query that makes sense, or INVALID_ARGUMENT.
func FuzzReadRequest(f *testing.F) {
	all := &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: 1 << 63}}}
	structured := &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}}
	filter := &streams.ReadReq_Options_FilterOptions{CheckpointIntervalMultiplier: 1 << 31, Window: &streams.ReadReq_Options_FilterOptions_Max{Max: 1 << 31},
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: `^(?!\$)`}}}
	f.Add(marshalled(f, &streams.ReadReq{Options: &streams.ReadReq_Options{UuidOption: structured, StreamOption: &streams.ReadReq_Options_All{All: all},
		CountOption: &streams.ReadReq_Options_Count{Count: 1<<64 - 1}}}))
	f.Add(marshalled(f, &streams.ReadReq{Options: &streams.ReadReq_Options{UuidOption: structured, StreamOption: &streams.ReadReq_Options_All{All: all},
		FilterOption: &streams.ReadReq_Options_Filter{Filter: filter}, CountOption: &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}}}))
	f.Add(marshalled(f, &streams.ReadReq{Options: &streams.ReadReq_Options{UuidOption: structured, CountOption: &streams.ReadReq_Options_Count{Count: 1},
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: streamIdentifier("order-1"),
			RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: 1 << 63}}}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req streams.ReadReq
		if proto.Unmarshal(raw, &req) != nil {
			return
		}
		q, err := parseQuery(&req)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Fatalf("%v of %v", err, &req)
			}
			return
		}
		if q.subscribe && q.dir == engine.Backwards || q.subscribe && q.filter != nil && q.filter.interval == 0 || q.filter != nil && q.stream != "" {
			t.Fatalf("%+v of %v", q, &req)
		}
		if q.stream != "" && engine.CheckStream(q.stream) != nil {
			t.Fatalf("stream %q", q.stream)
		}
	})
}

// FuzzFilter matches whatever is a name against whatever comes as a filter: an answer in bounded time, or INVALID_ARGUMENT.
func FuzzFilter(f *testing.F) {
	f.Add(`^(a+)+$`, "order-", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", uint32(32), uint32(1), true)
	f.Add(`^(?<!\$)(?=[^x])(?>x*)\p{L}+?\b`, "", "order-1", uint32(0), uint32(0), false)
	f.Add(`(?i:Ä|\u00e4)(?#c)[a-z-[aeiou]]\1`, "", "$$x", uint32(1<<31), uint32(1<<31), true)
	f.Fuzz(func(t *testing.T, regex, prefix, name string, window, multiplier uint32, byType bool) {
		x := &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex}
		if prefix != "" {
			x.Prefix = []string{prefix}
		}
		o := &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: x},
			Window: &streams.ReadReq_Options_FilterOptions_Max{Max: window}, CheckpointIntervalMultiplier: multiplier}
		if byType {
			o.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: x}
		}
		if !utf8.ValidString(regex) || !utf8.ValidString(prefix) {
			return // no such message arrives
		}
		began := time.Now()
		filter, err := parseFilter(o, true)
		if err == nil {
			r := engine.Record{Stream: name, Event: engine.Event{Type: name}}
			_, err = filter.matches(&r)
		}
		if err != nil && status.Code(err) != codes.InvalidArgument {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second { // the bound is 250 ms; the machine may be busy
			t.Fatalf("%q on %q took %v", regex, name, took)
		}
	})
}

// FuzzAppendRequest takes whatever comes as an event of an append, plain or batched: an event the log takes, or one of our reasons. What is
// held of the budget is what was taken, and all of it is given back.
func FuzzAppendRequest(f *testing.F) {
	id := &shared.UUID{Value: &shared.UUID_String_{String_: "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}}
	meta := map[string]string{"type": "order.placed.v1", "content-type": "application/json"}
	f.Add(marshalled(f, &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{Id: id, Metadata: meta, Data: []byte("{}")}}}))
	f.Add(marshalled(f, &streams.BatchAppendReq{CorrelationId: id, IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{Id: id, Metadata: meta}, {Id: id}}}))
	f.Add(marshalled(f, &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{StreamIdentifier: streamIdentifier("order-1"),
		ExpectedStreamRevision: &streams.AppendReq_Options_Revision{Revision: 1<<64 - 2}}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		memory := &budget{limit: 1 << 16}
		p := proposal{limit: 1 << 20, memory: memory, patience: time.Hour}
		take := func(m proposed) {
			known, held := len(p.events), memory.used.Load()
			if err := p.add(m); err != nil {
				if len(p.events) != known || memory.used.Load() != held {
					t.Fatalf("%v, and it is kept", err)
				}
				return
			}
			if e := p.events[known]; e.ID == (engine.ID{}) || e.Type == "" || len(e.Type) > maxType || memory.used.Load() <= held {
				t.Fatalf("%+v was taken", e)
			}
		}
		var plain streams.AppendReq
		if proto.Unmarshal(raw, &plain) == nil {
			if m := plain.GetProposedMessage(); m != nil {
				take(m)
			}
			if o := plain.GetOptions(); o.GetExpectedStreamRevision() != nil {
				_, exact := o.GetExpectedStreamRevision().(*streams.AppendReq_Options_Revision)
				if x := expectation(o); exact && x < 0 {
					t.Fatalf("revision %d became %d", o.GetRevision(), x)
				}
			}
		}
		var batch streams.BatchAppendReq
		if proto.Unmarshal(raw, &batch) == nil {
			for _, m := range batch.GetProposedMessages() {
				take(m)
			}
			s := Server{cfg: Config{WriteTimeout: time.Second}}
			if d := s.batchDeadline(batch.GetOptions()); !tooLate(batch.GetOptions()) && d <= 0 || d > time.Second { // what is too late is refused before
				t.Fatalf("a deadline of %v", d)
			}
			_, exact := batch.GetOptions().GetExpectedStreamPosition().(*streams.BatchAppendReq_Options_StreamPosition)
			if x := batchExpectation(batch.GetOptions()); exact && x < 0 {
				t.Fatalf("a position became %d", x)
			}
		}
		p.release()
		if memory.used.Load() != 0 {
			t.Fatalf("%d bytes are still held", memory.used.Load())
		}
	})
}
