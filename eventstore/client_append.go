package eventstore

import (
	"context"
	"errors"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// append sends one append over the batch stream if the store has that, else as a call of its own.
func (s *session) append(ctx context.Context, stream Stream, expected Revision, events []Event) (Appended, error) {
	if s.batches {
		b, err := s.appender()
		if err != nil {
			return Appended{}, err
		}
		return b.append(ctx, stream, expected, events)
	}
	return s.appendPlain(ctx, stream, expected, events)
}

func (s *session) appendPlain(ctx context.Context, stream Stream, expected Revision, events []Event) (Appended, error) {
	opts := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	if expected != NoStream {
		opts.ExpectedRevision = esdb.Revision(uint64(expected))
	}
	proposed := make([]esdb.EventData, len(events))
	for i, e := range events {
		proposed[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Metadata}
	}
	ctx, cancel := s.bind(ctx)
	defer cancel(nil)
	return guardEntry(ctx, s, func() (Appended, error) {
		written, err := s.official.AppendToStream(ctx, string(stream), opts, proposed...)
		if err != nil {
			return Appended{}, asTooLarge(err)
		}
		return Appended{Revision: Revision(written.NextExpectedVersion), Position: Position(written.CommitPosition)}, nil
	})
}

// asTooLarge recognises the refusal of a store whose limit is below ours: the official client hides the trailer that
// says so, only the sentence is left.
func asTooLarge(err error) error {
	var known interface{ GRPCStatus() *status.Status }
	if errors.As(err, &known) && known.GRPCStatus().Code() == codes.InvalidArgument &&
		strings.Contains(strings.ToLower(known.GRPCStatus().Message()), "append size") {
		return wrap(err, ErrTooLarge)
	}
	return err
}
