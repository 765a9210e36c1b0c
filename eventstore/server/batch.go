package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/internal/fault"
)

// Bounds of one BatchAppend stream: a client that exceeds them waits, or is refused if it leaves appends unfinished.
const (
	batchInFlight = 512      // appends being written
	batchOpen     = 256      // appends whose last message is still to come
	batchOpenSize = 64 << 20 // bytes of those
)

// BatchAppend takes many appends on one stream, each in one or more messages with the same correlation id, and answers each with one
// message. Appends of one stream are decided in the order in which their last messages come; answers come in any order.
func (s *Server) BatchAppend(io streams.Streams_BatchAppendServer) error {
	b := &batch{s: s, io: io, open: map[engine.ID]*batchItem{}, slots: make(chan struct{}, batchInFlight)}
	if err := io.SendHeader(nil); err != nil { // says that the stream was let in: what is sent from here on may have been written
		return err
	}
	received := make(chan error, 1)
	go func() { received <- b.receive() }()
	select {
	case err := <-received:
		b.running.Wait()
		return err
	case <-io.Context().Done(): // the user is no more, or the client: the receiver ends as soon as this has returned
		b.end()
		return status.FromContextError(io.Context().Err()).Err()
	case <-s.stopping:
		// The receiver ends as soon as this has returned; what it began is written, but no longer answered.
		b.end()
		return errStopping()
	}
}

// end keeps what is still being written from being answered.
func (b *batch) end() {
	b.sending.Lock()
	defer b.sending.Unlock()
	b.ended = true
}

type batch struct {
	s       *Server
	io      streams.Streams_BatchAppendServer
	open    map[engine.ID]*batchItem // by correlation id; the receiver's
	size    int                      // of the open ones; the receiver's
	slots   chan struct{}
	running sync.WaitGroup // the receiver adds

	sending sync.Mutex
	ended   bool // guarded by sending: the call is over, nothing may be sent
}

// batchItem is one append being received.
type batchItem struct {
	correlation *shared.UUID
	options     *streams.BatchAppendReq_Options
	proposal    proposal
	err         error // the first reason to refuse it; it is answered when its last message has come
}

func (b *batch) receive() error {
	defer func() {
		for _, item := range b.open {
			item.proposal.release()
		}
	}()
	for {
		m, err := b.io.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.accept(m); err != nil {
			return err
		}
	}
}

// accept adds a message to its append, and begins the append if the message is its last.
func (b *batch) accept(m *streams.BatchAppendReq) error {
	id, ok := parseID(m.GetCorrelationId())
	if !ok {
		return invalid("a batch append needs a correlation id")
	}
	item := b.open[id]
	if item == nil {
		item = &batchItem{correlation: m.GetCorrelationId(), proposal: proposal{limit: b.s.cfg.MaxAppend, memory: &b.s.appends, patience: b.s.cfg.WriteTimeout}}
	}
	if m.GetOptions() != nil {
		item.take(m.GetOptions())
	}
	before := item.proposal.size
	for _, p := range m.GetProposedMessages() {
		if item.err == nil {
			item.err = b.add(item, p)
		}
	}
	b.size += item.proposal.size - before
	if !m.GetIsFinal() {
		b.open[id] = item
		if len(b.open) > batchOpen || b.size > batchOpenSize {
			return invalid("too many unfinished batch appends: finish some first")
		}
		return nil
	}
	delete(b.open, id)
	b.size -= item.proposal.size
	return b.begin(item)
}

// take takes the options. Of a name that can't be a stream's only the beginning is kept, to be answered with: it may have 16 MiB.
func (i *batchItem) take(o *streams.BatchAppendReq_Options) {
	i.options = o
	name := o.GetStreamIdentifier().GetStreamName()
	if err := engine.CheckStream(string(name)); err != nil {
		i.options = &streams.BatchAppendReq_Options{StreamIdentifier: streamIdentifier(string(name[:min(len(name), maxType)])), ExpectedStreamPosition: o.GetExpectedStreamPosition()}
		i.err = cmp.Or(i.err, err)
	}
}

// add adds an event to its append. If there is no memory left it waits for the appends of this stream that are being written, which
// hold some, before it gives up; who sends faster than the disk takes is slowed down so, and nobody waits for what may never end.
func (b *batch) add(item *batchItem, p *streams.BatchAppendReq_ProposedMessage) error {
	err := item.proposal.add(p)
	if errors.Is(err, errBusy) {
		b.running.Wait()
		err = item.proposal.add(p)
	}
	if err != nil {
		item.proposal.release()
	}
	return err
}

// begin takes a place in the log's queue, and leaves the rest to a goroutine, so that the client can go on sending.
func (b *batch) begin(item *batchItem) error {
	stream := string(item.options.GetStreamIdentifier().GetStreamName())
	begun := false
	defer func() {
		if !begun {
			item.proposal.release()
		}
	}()
	switch {
	case item.options == nil || item.options.GetExpectedStreamPosition() == nil:
		return b.send(b.refused(item, badRequest("the batch append has no options")))
	case stream == "$all":
		return b.send(b.refused(item, detailed(codes.PermissionDenied, "AccessDenied", &shared.AccessDenied{})))
	case item.err != nil:
		return b.send(b.refused(item, b.malformed(item.err)))
	case tooLate(item.options):
		return b.send(b.refused(item, detailed(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})))
	}
	events, err := item.proposal.complete()
	if err != nil {
		return b.send(b.refused(item, b.malformed(err)))
	}
	if r := b.s.mayWrite(b.io.Context(), stream, events); r != nil {
		return b.send(b.refused(item, r.detailed()))
	}
	select {
	case b.slots <- struct{}{}:
	case <-b.io.Context().Done():
		return b.io.Context().Err()
	}
	ticket, err := b.s.db.Begin(stream, batchExpectation(item.options), events)
	if err != nil {
		<-b.slots
		return b.send(b.answer(item, stream, engine.Appended{}, err))
	}
	begun = true
	b.running.Add(1)
	go func() {
		defer b.running.Done()
		defer item.proposal.release()
		defer func() { <-b.slots }()
		ctx, cancel := context.WithTimeout(b.io.Context(), b.s.batchDeadline(item.options))
		defer cancel()
		done, err := ticket.Wait(ctx)
		// A failed send means that the client is gone; the receiver finds out by itself.
		_ = b.send(b.answer(item, stream, done, err))
	}()
	return nil
}

func (b *batch) send(m *streams.BatchAppendResp) error {
	b.sending.Lock()
	defer b.sending.Unlock()
	if b.ended {
		return errStopping()
	}
	return b.io.Send(m)
}

// tooLate reports a deadline, in the form of a moment, that has passed: the client has given the append up, and must not find it done.
func tooLate(o *streams.BatchAppendReq_Options) bool {
	d, ok := o.GetDeadlineOption().(*streams.BatchAppendReq_Options_Deadline_21_10_0)
	return ok && !time.Now().Before(d.Deadline_21_10_0.AsTime())
}

// batchDeadline believes the client only as far as the write timeout: some write the epoch into the duration.
func (s *Server) batchDeadline(o *streams.BatchAppendReq_Options) time.Duration {
	limit := s.cfg.WriteTimeout
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		if wanted := d.Deadline.AsDuration(); wanted > 0 {
			limit = min(limit, wanted)
		}
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		limit = min(limit, time.Until(d.Deadline_21_10_0.AsTime()))
	}
	return limit
}

func batchExpectation(o *streams.BatchAppendReq_Options) engine.Expected {
	switch x := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_NoStream:
		return engine.ExpectNoStream
	case *streams.BatchAppendReq_Options_Any:
		return engine.ExpectAny
	case *streams.BatchAppendReq_Options_StreamExists:
		return engine.ExpectExists
	case *streams.BatchAppendReq_Options_StreamPosition:
		return engine.Exactly(engine.Revision(x.StreamPosition))
	}
	return engine.ExpectAny
}

// answer makes the one message that an append gets.
func (b *batch) answer(item *batchItem, stream string, done engine.Appended, err error) *streams.BatchAppendResp {
	if err != nil {
		return b.refused(item, b.failure(stream, err))
	}
	ok := &streams.BatchAppendResp_Success{CurrentRevisionOption: &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}}}
	if done.Revision >= 0 {
		ok.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(done.Revision)}
	}
	ok.PositionOption = &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}}
	if !done.Empty {
		ok.PositionOption = &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
			CommitPosition: uint64(done.Position), PreparePosition: uint64(done.Position),
		}}
	}
	m := b.envelope(item)
	m.Result = &streams.BatchAppendResp_Success_{Success: ok}
	return m
}

func (b *batch) refused(item *batchItem, st *statuspb.Status) *streams.BatchAppendResp {
	m := b.envelope(item)
	m.Result = &streams.BatchAppendResp_Error{Error: st}
	return m
}

// envelope names the append: the stream also in errors, since clients read it unasked.
func (b *batch) envelope(item *batchItem) *streams.BatchAppendResp {
	m := &streams.BatchAppendResp{
		CorrelationId:    item.correlation,
		StreamIdentifier: &shared.StreamIdentifier{StreamName: item.options.GetStreamIdentifier().GetStreamName()},
	}
	switch x := item.options.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		m.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: x.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		m.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: x.NoStream}
	case *streams.BatchAppendReq_Options_Any:
		m.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: x.Any}
	case *streams.BatchAppendReq_Options_StreamExists:
		m.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: x.StreamExists}
	}
	return m
}

func (b *batch) failure(stream string, err error) *statuspb.Status {
	var wrong *engine.RevisionError
	switch {
	case errors.As(err, &wrong):
		return detailed(codes.AlreadyExists, "WrongExpectedVersion", batchWrongRevision(wrong))
	case errors.Is(err, engine.ErrStreamDeleted):
		return detailed(codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: streamIdentifier(stream)})
	case errors.Is(err, engine.ErrTooLarge):
		return b.malformed(errTooLarge)
	case errors.Is(err, engine.ErrLinkStream):
		return detailed(codes.PermissionDenied, "Access Denied: "+fault.MessageOf(err), &shared.AccessDenied{})
	case fault.KindOf(err) == fault.Timeout:
		return detailed(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	case fault.KindOf(err) == fault.Invalid:
		return badRequest(fault.MessageOf(err))
	case fault.KindOf(err) == fault.Exhausted: // the disk is nearly full
		return &statuspb.Status{Code: int32(codes.ResourceExhausted), Message: fault.MessageOf(err)}
	case fault.KindOf(err) == fault.Unavailable:
		return &statuspb.Status{Code: int32(codes.Unavailable), Message: fault.MessageOf(err)}
	}
	b.s.cfg.Logger.Error("event store: a batch append failed", "error", err)
	return detailed(codes.Internal, internalMessage(err), &shared.Unknown{})
}

func (b *batch) malformed(err error) *statuspb.Status {
	if errors.Is(err, errTooLarge) {
		return detailed(codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(b.s.cfg.MaxAppend)})
	}
	if errors.Is(err, errBusy) {
		return &statuspb.Status{Code: int32(codes.ResourceExhausted), Message: err.Error()}
	}
	if errors.Is(err, errUnfinished) {
		return detailed(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	}
	return badRequest(err.Error())
}

// detailed is the refusal as the answer to an append of many.
func (r *refusal) detailed() *statuspb.Status {
	if r.code == codes.PermissionDenied {
		return detailed(r.code, "AccessDenied", &shared.AccessDenied{})
	}
	return &statuspb.Status{Code: int32(r.code), Message: r.text}
}

func badRequest(message string) *statuspb.Status {
	return detailed(codes.InvalidArgument, "BadRequest", &shared.BadRequest{Message: message})
}

func detailed(code codes.Code, message string, detail proto.Message) *statuspb.Status {
	st := &statuspb.Status{Code: int32(code), Message: message}
	if packed, err := anypb.New(detail); err == nil { // it fails for messages that can't be marshalled only
		st.Details = []*anypb.Any{packed}
	}
	return st
}

func batchWrongRevision(e *engine.RevisionError) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}}
	if e.Current >= 0 {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(e.Current)}
	}
	switch e.Expected {
	case engine.ExpectAny:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case engine.ExpectExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	case engine.ExpectNoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(e.Expected)}
	}
	return w
}
