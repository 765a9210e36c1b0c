package eventstoretest

import (
	"context"
	"errors"
	"slices"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

func readCases() []testCase {
	return []testCase{
		{"a missing stream is told", (*store).missing},
		{"a stream is read from a revision, and backwards", (*store).ranges},
		{"a long stream is read whole both ways", (*store).longStream},
		{"a read may be left at any event", (*store).leaving},
		{"a read ends with its context", (*store).readContext},
		{"maxCount keeps the newest, revisions go on", (*store).maxCount},
	}
}

func (s *store) missing() {
	stream := s.stream(eventstore.Order)
	if err := s.failure(s.ReadStream(s.ctx, stream, 0)); !errors.Is(err, eventstore.ErrNoStream) {
		s.Errorf("forwards: %v", err)
	}
	if err := s.failure(s.ReadStreamBackwards(s.ctx, stream, 1)); !errors.Is(err, eventstore.ErrNoStream) {
		s.Errorf("backwards: %v", err)
	}
}

func (s *store) ranges() {
	stream, list := s.stream(eventstore.Order), events(10)
	s.must(stream, eventstore.NoStream, list)
	for from := range 12 {
		s.same(s.all(s.ReadStream(s.ctx, stream, eventstore.Revision(from))), list[min(from, 10):])
	}
	for _, limit := range []int{0, 1, 3, 10, 11} {
		want := slices.Clone(list)
		slices.Reverse(want)
		s.same(s.all(s.ReadStreamBackwards(s.ctx, stream, limit)), want[:min(limit, 10)])
	}
}

func (s *store) longStream() {
	stream, list := s.stream(eventstore.Inventory), events(5000)
	at := eventstore.NoStream
	for chunk := range slices.Chunk(list, 500) {
		at = s.must(stream, at, chunk).Revision
	}
	read := s.all(s.ReadStream(s.ctx, stream, 0))
	s.same(read, list)
	s.increasing(read)
	back := s.all(s.ReadStreamBackwards(s.ctx, stream, 6000))
	slices.Reverse(back)
	s.same(back, list)
}

func (s *store) leaving() {
	stream, list := s.stream(eventstore.Order), events(300)
	s.must(stream, eventstore.NoStream, list)
	for range 200 { // a read that leaked would show as a stuck store or a leaked goroutine
		for r, err := range s.ReadStream(s.ctx, stream, 0) {
			if err != nil || r.Revision != 0 {
				s.Fatalf("%d, %v", r.Revision, err)
			}
			break
		}
	}
	s.same(s.all(s.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) readContext() {
	stream, list := s.stream(eventstore.Order), events(2000)
	s.must(stream, eventstore.NoStream, list)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var last error
	n := 0
	for _, err := range s.ReadStream(ctx, stream, 0) {
		if last = err; err == nil {
			n++
			cancel()
		}
	}
	if n == 0 || n < len(list) && fault.KindOf(last) != fault.Timeout {
		s.Errorf("after %d events: %v", n, last)
	}
	if err := s.failure(s.ReadStream(ctx, stream, 0)); fault.KindOf(err) != fault.Timeout {
		s.Errorf("with a context that has ended: %v", err)
	}
}

func (s *store) maxCount() {
	stream := eventstore.Stream("suite" + string(s.stream("snapshot")))
	meta := events(1)
	meta[0].Type, meta[0].Data = "$metadata", []byte(`{"$maxCount":1}`)
	s.must("$$"+stream, eventstore.NoStream, meta)
	list := events(3)
	for i := range list {
		s.must(stream, eventstore.Revision(i-1), list[i:i+1])
	}
	read := s.all(s.ReadStream(s.ctx, stream, 0))
	s.same(read, list[2:])
	if read[0].Revision != 2 {
		s.Errorf("revision %d", read[0].Revision)
	}
}
