package server

import (
	"context"
	"errors"
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
	p := proposal{limit: s.cfg.MaxAppend, memory: &s.appends, patience: s.cfg.WriteTimeout}
	defer p.release()
	target, expected, events, err := s.receive(in, &p)
	if err != nil {
		p.release() // and holds nothing while the client goes on
		s.outpoured(in)
		return err
	}
	if r := s.mayWrite(ctx, target, events); r != nil {
		return r.err(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	done, err := s.db.Append(ctx, target, expected, events)
	var wrong *engine.RevisionError
	switch {
	case errors.As(err, &wrong):
		return in.SendAndClose(wrongRevision(wrong))
	case err != nil:
		return s.failed(in.Context(), target, err)
	}
	return in.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: appendSuccess(done)}})
}

// receive collects an append into p until the client has sent all, or finds out before why it can't be taken.
func (s *Server) receive(in streams.Streams_AppendServer, p *proposal) (target string, x engine.Expected, events []engine.Event, err error) {
	ctx := in.Context()
	if target, x, err = appendOptions(in); err != nil {
		return "", 0, nil, err
	}
	if target == "$all" {
		return "", 0, nil, refuseAccess(ctx, "$all can't be written to")
	}
	if err := engine.CheckStream(target); err != nil {
		return "", 0, nil, invalid(err.Error()) // at once: a name of 16 MiB would be held until the append is complete
	}
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", 0, nil, err
		}
		if m.GetProposedMessage() == nil {
			return "", 0, nil, invalid("only proposed messages may follow the options")
		}
		if err := p.add(m.GetProposedMessage()); err != nil {
			return "", 0, nil, s.malformed(ctx, err)
		}
	}
	if events, err = p.complete(); err != nil {
		return "", 0, nil, s.malformed(ctx, err)
	}
	return target, x, events, nil
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

func (s *Server) malformed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return refuseTooLarge(ctx, s.cfg.MaxAppend)
	case errors.Is(err, errProperties):
		return refuseProperties(ctx)
	case errors.Is(err, errBusy):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, errUnfinished):
		return status.Error(codes.Aborted, err.Error())
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
