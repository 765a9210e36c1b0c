package eventstore

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// A batch multiplexes all appends of a session over one BatchAppend stream (EVENTSTOREDB's own protocol for it): a gRPC
// stream per append, as the official client opens it, costs both ends more than the append itself.
//
// Three parties: callers put a request into outbox and wait for their reply, one goroutine sends (a gRPC stream takes
// one sender), one receives and wakes the caller whose number the answer bears. When the stream breaks the session is retired
// and every waiting caller gets ErrUnavailable: the outcome of its append is unknown.
//
// The stream carries this process's credentials once, when it begins, which it does with the first append. If the store refuses
// them the batch ends alone: who only reads has no right to append and needs none. The next append tries again.
type batch struct {
	s      *session
	stream streams.Streams_BatchAppendClient
	outbox chan *streams.BatchAppendReq
	ctx    context.Context // ends with the stream, the cause says why
	end    context.CancelCauseFunc

	mu      sync.Mutex
	next    uint64                   // number of the next request
	waiting map[uint64]chan<- answer // each has room for its one answer
}

type answer struct {
	done Appended
	err  error
}

// appender returns the session's batch, and opens one if there is none.
func (s *session) appender() (*batch, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	if b := s.batch; b != nil && b.ctx.Err() == nil {
		return b, nil
	}
	b := &batch{s: s, outbox: make(chan *streams.BatchAppendReq), waiting: map[uint64]chan<- answer{}}
	b.ctx, b.end = context.WithCancelCause(s.ctx)
	var err error
	if b.stream, err = streams.NewStreamsClient(s.direct).BatchAppend(b.ctx); err != nil {
		b.end(err)
		return nil, wrap(err, ErrUnavailable)
	}
	s.batch = b
	s.owner.tasks.Go(b.send)
	s.owner.tasks.Go(b.receive)
	return b, nil
}

func (b *batch) append(ctx context.Context, stream Stream, expected Revision, events []Event) (Appended, error) {
	reply := make(chan answer, 1)
	number := b.enter(reply)
	defer b.leave(number)
	select {
	case b.outbox <- b.request(number, stream, expected, events):
	case <-b.ctx.Done():
		return Appended{}, b.gone()
	case <-ctx.Done():
		return Appended{}, contextFault(ctx)
	}
	select {
	case a := <-reply:
		return a.done, a.err
	case <-b.ctx.Done():
		return Appended{}, b.gone()
	case <-ctx.Done():
		return Appended{}, contextFault(ctx)
	}
}

// gone says why the batch ended: by its own fault or with the session.
func (b *batch) gone() error {
	if b.s.ctx.Err() != nil {
		return b.s.gone()
	}
	return context.Cause(b.ctx)
}

func (b *batch) enter(reply chan<- answer) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	b.waiting[b.next] = reply
	return b.next
}

func (b *batch) leave(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, number)
}

func (b *batch) send() {
	for {
		select {
		case req := <-b.outbox:
			if b.stream.Send(req) != nil {
				return // receive learns why
			}
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *batch) receive() {
	for {
		resp, err := b.stream.Recv()
		if err != nil {
			b.ended(b.s.fault(b.s.ctx, err))
			return
		}
		number, ok := numberOf(resp.GetCorrelationId())
		if !ok {
			continue
		}
		b.mu.Lock()
		reply := b.waiting[number]
		delete(b.waiting, number) // a second answer finds nobody
		b.mu.Unlock()
		if reply != nil {
			reply <- answerOf(resp)
		}
	}
}

// ended deals with the end of the stream. Credentials that were refused before it began are the appends' own fault, of which none was
// written. Those that were withdrawn later leave appends whose outcome is unknown.
func (b *batch) ended(err error) {
	switch header, unread := b.stream.Header(); {
	case isUnavailable(err), isClosed(err):
	case !errors.Is(err, ErrCredentials):
		b.s.owner.log.Error("event store ended the append stream", "error", err)
	case header == nil && unread == nil:
		b.end(err)
		return
	default:
		b.s.owner.log.Warn("event store no longer takes appends of this user", "error", err)
		b.end(wrapAnew(err, ErrUnavailable))
		return
	}
	b.end(err)
	b.s.owner.retire(b.s, err)
}

func (b *batch) request(number uint64, stream Stream, expected Revision, events []Event) *streams.BatchAppendReq {
	opts := &streams.BatchAppendReq_Options{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)},
		DeadlineOption:   &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(b.s.owner.cfg.AppendTimeout)},
	}
	if expected == NoStream {
		opts.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	} else {
		opts.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(expected)}
	}
	proposed := make([]*streams.BatchAppendReq_ProposedMessage, len(events))
	for i, e := range events {
		proposed[i] = &streams.BatchAppendReq_ProposedMessage{
			Id:             wireID(e.ID),
			Metadata:       map[string]string{"type": e.Type, "content-type": "application/json"},
			CustomMetadata: e.Metadata,
			Data:           e.Data,
		}
	}
	return &streams.BatchAppendReq{CorrelationId: correlation(number), Options: opts, ProposedMessages: proposed, IsFinal: true}
}

func answerOf(resp *streams.BatchAppendResp) answer {
	if failed := resp.GetError(); failed != nil {
		return answer{err: batchFault(failed)}
	}
	success := resp.GetSuccess()
	return answer{done: Appended{Revision: Revision(success.GetCurrentRevision()), Position: Position(success.GetPosition().GetCommitPosition())}}
}

// batchFault reads the status inside an answer: the codes are those of EventStoreDB's BatchAppend, not of gRPC calls.
func batchFault(s *rpcstatus.Status) error {
	switch code := codes.Code(s.GetCode()); {
	case code == codes.AlreadyExists:
		return ErrWrongRevision
	case code == codes.NotFound:
		return ErrStreamDeleted
	case code == codes.InvalidArgument && s.GetMessage() == "MaximumAppendSizeExceeded":
		return ErrTooLarge
	case code == codes.Unavailable:
		return ErrUnavailable
	default:
		f := statusFault(code)
		return f.Because("%s (%s)", f.Message, s.GetMessage())
	}
}

// correlation is a UUID that is just the request's number: it needs to be unique within one stream only.
func correlation(number uint64) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits: correlationSpace, LeastSignificantBits: int64(number), //nolint:gosec // bits, not a quantity
	}}}
}

const correlationSpace = 0x616e6e616c // "annal": a UUID of zeros alone may be taken for none

func numberOf(id *shared.UUID) (uint64, bool) {
	if s := id.GetStructured(); s != nil {
		return uint64(s.GetLeastSignificantBits()), s.GetMostSignificantBits() == correlationSpace //nolint:gosec // bits
	}
	parsed, err := uuid.Parse(id.GetString_())
	if err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint64(parsed[8:]), binary.BigEndian.Uint64(parsed[:8]) == correlationSpace
}

func wireID(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])), //nolint:gosec // bits
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])), //nolint:gosec // bits
	}}}
}
