package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// batchOf makes one BatchAppend message with the correlation id of a number.
func batchOf(correlation int, stream string, final bool, numbers ...int) *streams.BatchAppendReq {
	m := &streams.BatchAppendReq{CorrelationId: textual(idOf(correlation)), IsFinal: final, Options: &streams.BatchAppendReq_Options{
		StreamIdentifier: named(stream), ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}}}
	for _, n := range numbers {
		p := proposed(n)
		m.ProposedMessages = append(m.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{Id: p.Id, Metadata: p.Metadata, Data: p.Data})
	}
	return m
}

// exchange sends messages on one stream and returns what is answered, in the order of the correlation ids' numbers.
func (w wire) exchange(answers int, messages ...*streams.BatchAppendReq) []*streams.BatchAppendResp {
	w.t.Helper()
	b, err := w.c.BatchAppend(within(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range messages {
		if err := b.Send(m); err != nil {
			w.t.Fatal(err)
		}
	}
	all := map[string]*streams.BatchAppendResp{}
	for range answers {
		m, err := b.Recv()
		if err != nil {
			w.t.Fatalf("after %d answers: %v", len(all), err)
		}
		all[m.GetCorrelationId().GetString_()] = m
	}
	if err := b.CloseSend(); err != nil {
		w.t.Fatal(err)
	}
	if _, err := b.Recv(); !errors.Is(err, io.EOF) {
		w.t.Fatalf("one answer too many, or an error: %v", err)
	}
	sorted := make([]*streams.BatchAppendResp, answers)
	for n := range answers {
		if sorted[n] = all[idOf(n).String()]; sorted[n] == nil {
			w.t.Fatalf("append %d has no answer", n)
		}
	}
	return sorted
}

func TestBatchAppendRefusesOneByOne(t *testing.T) {
	w := onTheWire(t)
	w.must("ended", "none", 0)
	w.tombstone("ended")
	w.must("s", "none", 1)
	at := func(m *streams.BatchAppendReq, x uint64) *streams.BatchAppendReq {
		m.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: x}
		return m
	}
	large, untyped, zero, bare, late := batchOf(2, "s", true, 12), batchOf(3, "s", true, 13), batchOf(4, "s", true, 14), batchOf(5, "", true, 15), batchOf(9, "s", true, 19)
	large.ProposedMessages[0].Data = make([]byte, 1<<20)
	delete(untyped.ProposedMessages[0].Metadata, "content-type")
	zero.ProposedMessages[0].Id = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{}}}
	optionless := batchOf(6, "s", true, 16)
	optionless.Options = nil
	late.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Minute))}
	answers := w.exchange(10, at(batchOf(0, "s", true, 10), 7), batchOf(1, "ended", true, 11), large, untyped, zero, bare, optionless, batchOf(7, "$all", true, 17), batchOf(8, "s", true, 18), late)
	for n, want := range []struct {
		code            codes.Code
		message, detail string
		stream          string
	}{
		{codes.AlreadyExists, "WrongExpectedVersion", "WrongExpectedVersion", "s"},
		{codes.NotFound, "StreamDeleted", "StreamDeleted", "ended"},
		{codes.InvalidArgument, "MaximumAppendSizeExceeded", "MaximumAppendSizeExceeded", "s"},
		{codes.InvalidArgument, "BadRequest", "BadRequest", "s"},
		{codes.InvalidArgument, "BadRequest", "BadRequest", "s"},
		{codes.InvalidArgument, "BadRequest", "BadRequest", ""},
		{codes.InvalidArgument, "BadRequest", "BadRequest", ""},
		{codes.PermissionDenied, "AccessDenied", "AccessDenied", "$all"},
		{codes.OK, "", "", "s"},
		{codes.DeadlineExceeded, "Timeout", "Timeout", "s"},
	} {
		m := answers[n]
		if m.GetStreamIdentifier() == nil || string(m.GetStreamIdentifier().GetStreamName()) != want.stream {
			t.Errorf("append %d: every answer names its stream: %v", n, m)
		}
		e := m.GetError()
		if want.code == codes.OK {
			if m.GetSuccess().GetCurrentRevision() != 1 {
				t.Errorf("append %d, between refused ones: %v", n, m)
			}
			continue
		}
		if codes.Code(e.GetCode()) != want.code || e.GetMessage() != want.message || len(e.GetDetails()) != 1 || !strings.HasSuffix(e.GetDetails()[0].GetTypeUrl(), "."+want.detail) {
			t.Errorf("append %d: %v, want %v %s", n, e, want.code, want.message)
		}
	}
	var x shared.WrongExpectedVersion
	if err := answers[0].GetError().GetDetails()[0].UnmarshalTo(&x); err != nil || x.GetCurrentStreamRevision() != 0 || x.GetExpectedStreamPosition() != 7 {
		t.Errorf("%v %v", &x, err)
	}
	wantRead(t, w, "what was refused was not written", "0@s 1@s", codes.OK, query("s", "start", huge))
}

func TestBatchAppendTakesPiecesAndRepeats(t *testing.T) {
	w := onTheWire(t)
	piece := func(correlation int, final bool, numbers ...int) *streams.BatchAppendReq {
		m := batchOf(correlation, "", final, numbers...)
		m.Options = nil
		return m
	}
	answers := w.exchange(4,
		batchOf(0, "a", false, 0), batchOf(1, "b", false), piece(1, false, 10), piece(0, false, 1), // two in turns
		piece(1, true, 11), piece(0, true), // the last message may be empty
		batchOf(2, "a", true, 0, 1), // the same again
		batchOf(3, "a", true),       // nothing
	)
	for n, want := range []string{"1 at 4", "1 at 2", "1 at 4", "1 at none"} {
		s := answers[n].GetSuccess()
		got := fmt.Sprintf("%d at %d", s.GetCurrentRevision(), s.GetPosition().GetCommitPosition())
		if s.GetNoPosition() != nil {
			got = fmt.Sprintf("%d at none", s.GetCurrentRevision())
		}
		if got != want {
			t.Errorf("append %d: %s, want %s", n, got, want)
		}
	}
	wantRead(t, w, "contiguous, in the order of the last pieces", "0@b 1@b 0@a 1@a", codes.OK, query("", "start", huge))
}

func TestBatchAppendBelievesDeadlinesWithinReason(t *testing.T) {
	w := onTheWire(t)
	epoch, zero := batchOf(0, "s", true, 0), batchOf(1, "s", true, 1)
	epoch.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Duration(time.Now().Unix()) * time.Second)}
	zero.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: &durationpb.Duration{}}
	for n, m := range w.exchange(2, epoch, zero) {
		if m.GetSuccess() == nil {
			t.Errorf("append %d: %v", n, m)
		}
	}
}

func TestBatchAppendWithoutCorrelationEnds(t *testing.T) {
	w := onTheWire(t)
	b, err := w.c.BatchAppend(within(t))
	if err != nil {
		t.Fatal(err)
	}
	m := batchOf(0, "s", true, 0)
	m.CorrelationId = nil
	if err := b.Send(m); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("there is nobody to answer: %v", err)
	}
}
