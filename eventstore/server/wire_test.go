package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// wire speaks the protocol itself: what the official client hides, or would never send.
type wire struct {
	t   testing.TB
	c   streams.StreamsClient
	url string
}

func onTheWire(t testing.TB) wire {
	t.Helper()
	url := servertest.Start(t)
	return wire{t: t, c: streams.NewStreamsClient(dial(t, url)), url: url}
}

// serve starts a store with settings of its own; stop returns how long it took to stop. It ends with the test.
func serve(t testing.TB, db engine.Config, cfg server.Config) (w wire, stop func() time.Duration) {
	t.Helper()
	log, err := engine.Open(t.TempDir(), db)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(log, cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	stopped := false
	stop = func() time.Duration {
		if stopped {
			return 0
		}
		stopped = true
		began := time.Now()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		took := time.Since(began)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		return took
	}
	t.Cleanup(func() { stop() })
	url := "esdb://" + l.Addr().String() + "?tls=false"
	return wire{t: t, c: streams.NewStreamsClient(dial(t, url)), url: url}, stop
}

func empty() *shared.Empty { return &shared.Empty{} }

func named(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

func textual(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

// idOf gives each number an event id of its own.
func idOf(n int) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, n)) }

// proposed makes a message for Append out of a number.
func proposed(n int) *streams.AppendReq_ProposedMessage {
	return &streams.AppendReq_ProposedMessage{
		Id: textual(idOf(n)), Metadata: map[string]string{"type": fmt.Sprintf("type-%d", n%3), "content-type": "application/json"},
		Data: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

// expects sets the expected revision: a number, "any", "none" or "exists".
func expects(o *streams.AppendReq_Options, x any) *streams.AppendReq_Options {
	switch x := x.(type) {
	case int:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(x)}
	case string:
		switch x {
		case "any":
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: empty()}
		case "none":
			o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: empty()}
		case "exists":
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: empty()}
		}
	}
	return o
}

// append appends messages, and returns the answer, the trailers and the status.
func (w wire) append(stream string, x any, messages ...*streams.AppendReq_ProposedMessage) (*streams.AppendResp, metadata.MD, error) {
	w.t.Helper()
	in, err := w.c.Append(within(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	send := func(m *streams.AppendReq) {
		if err := in.Send(m); err != nil && !errors.Is(err, io.EOF) {
			w.t.Fatal(err)
		}
	}
	send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: expects(&streams.AppendReq_Options{StreamIdentifier: named(stream)}, x)}})
	for _, m := range messages {
		send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}})
	}
	resp, err := in.CloseAndRecv()
	return resp, in.Trailer(), err
}

// must appends the events of numbers and returns the position of the last.
func (w wire) must(stream string, x any, numbers ...int) uint64 {
	w.t.Helper()
	var messages []*streams.AppendReq_ProposedMessage
	for _, n := range numbers {
		messages = append(messages, proposed(n))
	}
	resp, _, err := w.append(stream, x, messages...)
	if err != nil || resp.GetSuccess() == nil {
		w.t.Fatalf("append to %s expecting %v: %v %v", stream, x, resp, err)
	}
	return resp.GetSuccess().GetPosition().GetCommitPosition()
}

// describe writes metadata of a stream.
func (w wire) describe(stream, data string) {
	w.t.Helper()
	m := proposed(0)
	m.Id, m.Metadata["type"], m.Data = textual(uuid.New()), "$metadata", []byte(data)
	resp, _, err := w.append("$$"+stream, "any", m)
	if err != nil || resp.GetSuccess() == nil {
		w.t.Fatalf("metadata of %s: %v %v", stream, resp, err)
	}
}

func (w wire) delete(stream string) {
	w.t.Helper()
	_, err := w.c.Delete(within(w.t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: named(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: empty()}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w wire) tombstone(stream string) {
	w.t.Helper()
	_, err := w.c.Tombstone(within(w.t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: named(stream), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: empty()}}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// query makes the options of a read. from is "start", "end", or a number: the revision, or the position if stream is empty. A count below
// zero asks for a subscription.
func query(stream string, from any, count int64, change ...func(*streams.ReadReq_Options)) *streams.ReadReq {
	o := &streams.ReadReq_Options{
		UuidOption:  &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: empty()}},
		CountOption: &streams.ReadReq_Options_Count{Count: uint64(count)},
	}
	if count < 0 {
		o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	}
	number, _ := from.(int)
	if stream == "" {
		all := &streams.ReadReq_Options_AllOptions{}
		switch from {
		case "start":
			all.AllOption = &streams.ReadReq_Options_AllOptions_Start{Start: empty()}
		case "end":
			all.AllOption = &streams.ReadReq_Options_AllOptions_End{End: empty()}
		default:
			all.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: uint64(number), PreparePosition: uint64(number)}}
		}
		o.StreamOption = &streams.ReadReq_Options_All{All: all}
	} else {
		one := &streams.ReadReq_Options_StreamOptions{StreamIdentifier: named(stream)}
		switch from {
		case "start":
			one.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: empty()}
		case "end":
			one.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: empty()}
		default:
			one.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: uint64(number)}
		}
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: one}
	}
	for _, f := range change {
		f(o)
	}
	return &streams.ReadReq{Options: o}
}

// Changes of a query.
func backwards(o *streams.ReadReq_Options) { o.ReadDirection = streams.ReadReq_Options_Backwards }
func resolving(o *streams.ReadReq_Options) { o.ResolveLinks = true }
func newerClient(o *streams.ReadReq_Options) {
	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
}

func filtered(byType bool, regex string, prefixes ...string) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		x := &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes}
		f := &streams.ReadReq_Options_FilterOptions{CheckpointIntervalMultiplier: 1, Window: &streams.ReadReq_Options_FilterOptions_Count{Count: empty()}}
		f.Filter = &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: x}
		if byType {
			f.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: x}
		}
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f}
	}
}

// read returns what a read brings, each message in a word or two, and how it ends.
func (w wire) read(req *streams.ReadReq) (all []string, trailer metadata.MD, err error) {
	w.t.Helper()
	r, err := w.c.Read(within(w.t), req)
	if err != nil {
		w.t.Fatal(err)
	}
	for {
		m, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return all, r.Trailer(), nil
		}
		if err != nil {
			return all, r.Trailer(), err
		}
		all = append(all, said(m))
	}
}

// said puts a message of Read into words.
func said(m *streams.ReadResp) string {
	event := func(e *streams.ReadResp_ReadEvent_RecordedEvent) string {
		return fmt.Sprintf("%d@%s", e.GetStreamRevision(), e.GetStreamIdentifier().GetStreamName())
	}
	switch c := m.GetContent().(type) {
	case *streams.ReadResp_Event:
		switch {
		case c.Event.GetLink() == nil:
			return event(c.Event.GetEvent())
		case c.Event.GetEvent() == nil:
			return "nothing<-" + event(c.Event.GetLink())
		}
		return event(c.Event.GetEvent()) + "<-" + event(c.Event.GetLink())
	case *streams.ReadResp_Confirmation:
		return "confirmed"
	case *streams.ReadResp_Checkpoint_:
		return fmt.Sprint("checkpoint:", c.Checkpoint.GetCommitPosition())
	case *streams.ReadResp_StreamNotFound_:
		return "missing"
	case *streams.ReadResp_FirstStreamPosition:
		return fmt.Sprint("first:", c.FirstStreamPosition)
	case *streams.ReadResp_LastStreamPosition:
		return fmt.Sprint("last:", c.LastStreamPosition)
	case *streams.ReadResp_CaughtUp_:
		return "caught-up"
	}
	return strings.TrimSpace(fmt.Sprintf("unknown: %v", m))
}

// follow subscribes, and returns a function that wants the next messages to be these.
func (w wire) follow(req *streams.ReadReq) (want func(words ...string), sub streams.Streams_ReadClient) {
	w.t.Helper()
	sub, err := w.c.Read(within(w.t), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return func(words ...string) {
		w.t.Helper()
		for _, word := range words {
			m, err := sub.Recv()
			if err != nil {
				w.t.Fatalf("waiting for %s: %v", word, err)
			}
			if got := said(m); got != word {
				w.t.Fatalf("got %s, want %s", got, word)
			}
		}
	}, sub
}

// lastData returns the data of a stream's last event.
func (w wire) lastData(stream string) string {
	w.t.Helper()
	r, err := w.c.Read(within(w.t), query(stream, "end", 1, backwards))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := r.Recv()
	if err != nil {
		w.t.Fatal(err)
	}
	return string(m.GetEvent().GetEvent().GetData())
}

func trailerOf(md *metadata.MD) grpc.CallOption { return grpc.Trailer(md) }
