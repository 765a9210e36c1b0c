package server_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// Appends that never end lose the memory that they hold, so that others can write.
func TestUnfinishedAppendsKeepNobodyFromWriting(t *testing.T) {
	store := servertest.StartWith(t, server.Config{AppendMemory: 4 << 20, WriteTimeout: time.Second})
	conns := plain(t, store.Addr(), 2)
	c, other := streams.NewStreamsClient(conns[0]), streams.NewStreamsClient(conns[1])
	var plains []streams.Streams_AppendClient
	for range 2 {
		in, err := c.Append(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(in.Send(appendTo("held")), in.Send(proposing("t", make([]byte, 1_000_000)))); err != nil {
			t.Fatal(err)
		}
		plains = append(plains, in)
	}
	b, err := c.BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	id := textID()
	part := func(final bool) *streams.BatchAppendReq {
		return &streams.BatchAppendReq{CorrelationId: id, IsFinal: final,
			Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("held")},
				ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}},
			ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched("t", make([]byte, 500_000))}}
	}
	if err := errors.Join(b.Send(part(false)), unfinished(t, b, 1_000_000, false)); err != nil {
		t.Fatal(err)
	}
	for bound := within(t); store.Server().Held() < 3_500_000; runtime.Gosched() {
		if bound.Err() != nil {
			t.Fatalf("only %d bytes are held", store.Server().Held())
		}
	}
	for {
		_, _, err := appendOf(within(t), other, appendTo("order-1"), proposing("t", make([]byte, 1_000_000)))
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
	for bound := within(t); store.Server().Held() > 0; runtime.Gosched() {
		if bound.Err() != nil {
			t.Fatalf("%d bytes are still held", store.Server().Held())
		}
	}
	for _, in := range plains {
		if _, err := in.CloseAndRecv(); status.Code(err) != codes.Aborted {
			t.Errorf("it ended too late: %v", err)
		}
	}
	if err := b.Send(part(true)); err != nil {
		t.Fatal(err)
	}
	if m, err := b.Recv(); err != nil || codes.Code(m.GetError().GetCode()) != codes.DeadlineExceeded {
		t.Errorf("it ended too late: %v %v", m, err)
	}
	if _, err := count(within(t), c, request(ofStream("held"), counting(9))); err != nil {
		t.Error(err)
	}
	if n, _ := count(within(t), c, request(ofStream("held"), counting(9))); n != 0 {
		t.Errorf("%d events of appends that were refused are there", n)
	}
}

// A name is checked when it comes, not when the append is complete: 256 names of 16 MiB on each stream would be held until then.
func TestEnormousNamesAreNotHeld(t *testing.T) {
	c := streams.NewStreamsClient(dial(t, servertest.Start(t)))
	name := strings.Repeat("x", 1<<20)
	in, err := c.Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Send(appendTo(name)); err != nil {
		t.Fatal(err)
	}
	if err := in.RecvMsg(&streams.AppendResp{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an append that isn't complete: %v", err)
	}
	b, err := c.BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Send(&streams.BatchAppendReq{CorrelationId: textID(), IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched("t", nil)},
		Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(name)},
			ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}}}); err != nil {
		t.Fatal(err)
	}
	m, err := b.Recv()
	if err != nil || codes.Code(m.GetError().GetCode()) != codes.InvalidArgument {
		t.Fatal(m.GetError(), err)
	}
	if n := len(m.GetStreamIdentifier().GetStreamName()); n == 0 || n > 4096 {
		t.Errorf("%d bytes of the name are kept", n)
	}
}

// unfinished begins a batch append whose last message never comes, of so many bytes.
func unfinished(t *testing.T, b streams.Streams_BatchAppendClient, size int, final bool) error {
	t.Helper()
	return b.Send(&streams.BatchAppendReq{CorrelationId: textID(), IsFinal: final,
		Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("batch")},
			ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}},
		ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched("t", make([]byte, size))}})
}

func TestBatchesThatNeverEndAreBounded(t *testing.T) {
	store := servertest.StartWith(t, server.Config{AppendMemory: 8 << 20})
	conns := plain(t, store.Addr(), 2)
	c := streams.NewStreamsClient(conns[0])
	ctx, cancel := context.WithCancel(within(t))
	b, err := c.BatchAppend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 300 { // of one stream: by number
		if unfinished(t, b, 1, false) != nil {
			break
		}
	}
	if _, err := b.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("300 unfinished appends: %v", err)
	}
	var held []streams.Streams_BatchAppendClient
	for range 5 { // of many streams: by memory
		b, err := c.BatchAppend(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := unfinished(t, b, 1_000_000, false); err != nil {
				t.Fatal(err)
			}
		}
		held = append(held, b)
	}
	// Until all of that has arrived the store may still answer, and an append that is being answered may be what there was no memory for one
	// of them: so there is another after each answer. Then it refuses, and says so in each of the two ways.
	other := streams.NewStreamsClient(conns[1])
	for {
		_, _, err = appendOf(within(t), other, appendTo("order-1"), proposing("t", make([]byte, 1_000_000)))
		if status.Code(err) == codes.ResourceExhausted {
			break
		}
		if err := errors.Join(err, unfinished(t, held[0], 1_000_000, false)); err != nil {
			t.Fatal(err)
		}
	}
	b, err = other.BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := unfinished(t, b, 1_000_000, true); err != nil {
		t.Fatal(err)
	}
	if m, err := b.Recv(); err != nil || codes.Code(m.GetError().GetCode()) != codes.ResourceExhausted {
		t.Errorf("a batch append without memory: %v %v", m, err)
	}
	cancel() // who held it is gone
	_ = held
	for {
		_, _, err := appendOf(within(t), other, appendTo("order-1"), proposing("t", make([]byte, 1_000_000)))
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
	for bound := within(t); store.Server().Held() > 0; {
		if bound.Err() != nil {
			t.Fatalf("%d bytes are still held", store.Server().Held())
		}
		runtime.Gosched()
	}
}

// Who sends faster than the disk takes is slowed down, not refused: his own appends make room.
func TestAFastBatchWaitsForItsOwnAppends(t *testing.T) {
	store := servertest.StartWith(t, server.Config{AppendMemory: 2 << 20})
	b, err := streams.NewStreamsClient(plain(t, store.Addr(), 1)[0]).BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	const n = 40
	sent := make(chan error, 1)
	go func() {
		var err error
		for range n {
			err = errors.Join(err, unfinished(t, b, 900_000, true))
		}
		sent <- err
	}()
	for range n {
		if m, err := b.Recv(); err != nil || m.GetSuccess() == nil {
			t.Fatalf("%v %v", m.GetError(), err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
