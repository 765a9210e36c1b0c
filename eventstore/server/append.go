package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
)

// Append takes one append in pieces and answers when it is durable. A wrong expected revision is a message, not a status.
func (s *Server) Append(in streams.Streams_AppendServer) error {
	ctx := in.Context()
	target, expected, err := appendOptions(in)
	if err != nil {
		return err
	}
	if target == "$all" {
		return refuseAccess(ctx, "$all can't be written to")
	}
	p := proposal{limit: s.cfg.MaxAppend, memory: &s.appends}
	defer p.release()
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m.GetProposedMessage() == nil {
			return invalid("only proposed messages may follow the options")
		}
		if err := p.add(m.GetProposedMessage()); err != nil {
			return s.malformed(ctx, err)
		}
	}
	if r := s.mayWrite(ctx, target, p.events); r != nil {
		return r.err(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	done, err := s.db.Append(ctx, target, expected, p.events)
	var wrong *engine.RevisionError
	switch {
	case errors.As(err, &wrong):
		return in.SendAndClose(wrongRevision(wrong))
	case err != nil:
		return s.failed(in.Context(), target, err)
	}
	return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: appendSuccess(done)}})
}

func appendOptions(in streams.Streams_AppendServer) (stream string, x engine.Expected, err error) {
	m, err := in.Recv()
	if errors.Is(err, io.EOF) {
		return "", 0, invalid("the append has no options")
	}
	if err != nil {
		return "", 0, err
	}
	o := m.GetOptions()
	if o == nil || o.GetExpectedStreamRevision() == nil {
		return "", 0, invalid("the append must begin with its options: stream and expected revision")
	}
	return string(o.GetStreamIdentifier().GetStreamName()), expectation(o), nil
}

// revisionOption is what the options of append, delete and tombstone have in common.
type revisionOption interface {
	GetRevision() uint64
	GetNoStream() *shared.Empty
	GetAny() *shared.Empty
	GetStreamExists() *shared.Empty
}

func expectation(o revisionOption) engine.Expected {
	switch {
	case o.GetNoStream() != nil:
		return engine.ExpectNoStream
	case o.GetAny() != nil:
		return engine.ExpectAny
	case o.GetStreamExists() != nil:
		return engine.ExpectExists
	}
	return engine.Exactly(engine.Revision(o.GetRevision()))
}

// Reasons to refuse a proposed message.
var (
	errTooLarge   = errors.New("the append exceeds the maximum append size")
	errProperties = errors.New("an event lacks type or content-type")
	errID         = errors.New("an event has no id, or a malformed or zero one")
	errType       = fmt.Errorf("an event's type has more than %d bytes", maxType)
	errBusy       = errors.New("Server Is Too Busy: the appends in progress hold too much memory") //nolint:staticcheck // the protocol's own words
)

const (
	maxType       = 4096 // bytes of an event's type, as of a stream's name
	eventOverhead = 128  // bytes that an event costs in memory beside what it holds
)

// proposed is a proposed message of Append or BatchAppend.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

// proposal collects the events of one append within its limit.
type proposal struct {
	limit  int
	size   int
	events []engine.Event
	memory *budget
	held   int64 // of memory
}

// release gives back what the proposal holds of the budget. The proposal is of no use then.
func (p *proposal) release() {
	p.memory.give(p.held)
	p.held, p.events = 0, nil
}

func (p *proposal) add(m proposed) error {
	id, ok := parseID(m.GetId())
	if !ok {
		return errID
	}
	kind, content := m.GetMetadata()["type"], m.GetMetadata()["content-type"]
	if kind == "" || content == "" {
		return errProperties
	}
	if len(kind) > maxType {
		return errType
	}
	size := len(m.GetData()) + len(m.GetCustomMetadata()) + 2*len(kind)
	if p.size+size > p.limit {
		return errTooLarge
	}
	if !p.memory.take(int64(size) + eventOverhead) {
		return errBusy
	}
	p.size += size
	p.held += int64(size) + eventOverhead
	p.events = append(p.events, engine.Event{
		ID: id, Type: kind, JSON: content == contentJSON, Metadata: m.GetCustomMetadata(), Data: m.GetData(),
	})
	return nil
}

func (s *Server) malformed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return refuseTooLarge(ctx, s.cfg.MaxAppend)
	case errors.Is(err, errProperties):
		return refuseProperties(ctx)
	case errors.Is(err, errBusy):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return invalid(err.Error())
}

func appendSuccess(a engine.Appended) *streams.AppendResp_Success {
	ok := &streams.AppendResp_Success{CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}}
	if a.Revision >= 0 {
		ok.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(a.Revision)}
	}
	ok.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
	if !a.Empty {
		ok.PositionOption = &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: uint64(a.Position), PreparePosition: uint64(a.Position),
		}}
	}
	return ok
}

// wrongRevision fills the current fields and their deprecated twins.
func wrongRevision(e *engine.RevisionError) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if e.Current < 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(e.Current)}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(e.Current)}
	}
	switch e.Expected {
	case engine.ExpectAny:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
	case engine.ExpectExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
	case engine.ExpectNoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: ^uint64(0)}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(e.Expected)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(e.Expected)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}
