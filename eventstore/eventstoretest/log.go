package eventstoretest

import (
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/eventstore"
)

func logCases() []testCase {
	return []testCase{
		{"the log holds what was appended in its order", (*store).logOrder},
		{"a read begins strictly after its position", (*store).logAfter},
		{"a read backwards ends strictly before its position", (*store).logBackwards},
		{"a filter takes its categories and nothing else", (*store).logFilter},
		{"the head is the newest domain event", (*store).headCase},
	}
}

// mixed appends to three streams of each category in turns and returns all events, in order, with their streams.
func (s *store) mixed(rounds int, categories ...eventstore.Category) (streams []eventstore.Stream, list []eventstore.Event) {
	s.Helper()
	var names []eventstore.Stream
	for _, c := range categories {
		names = append(names, s.stream(c), s.stream(c), s.stream(c))
	}
	for round := range rounds {
		for _, name := range names {
			pair := events(2)
			s.must(name, eventstore.Revision(2*round-1), pair)
			streams, list = append(streams, name, name), append(list, pair...)
		}
	}
	return streams, list
}

func (s *store) logOrder() {
	before := s.head()
	streams, list := s.mixed(20, eventstore.Order, eventstore.Payment, eventstore.Return)
	read := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))
	s.same(read, list)
	s.increasing(read)
	next := map[eventstore.Stream]eventstore.Revision{}
	for i, r := range read {
		if r.Stream != streams[i] || r.Revision != next[r.Stream] {
			s.Fatalf("event %d is %d@%s, want %d@%s", i, r.Revision, r.Stream, next[streams[i]], streams[i])
		}
		next[r.Stream]++
	}
	if diff := cmp.Diff(read, s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))); diff != "" {
		s.Errorf("read again, it differs:\n%s", diff)
	}
	one := s.all(s.ReadStream(s.ctx, streams[0], 0))
	if diff := cmp.Diff(one[0], read[0]); diff != "" {
		s.Errorf("the same event, in its stream and in the log:\n%s", diff)
	}
}

func (s *store) logAfter() {
	before := s.head()
	_, list := s.mixed(2, eventstore.Shipment)
	read := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))
	for i, r := range read {
		s.same(s.all(s.ReadAll(s.ctx, r.Position, eventstore.Filter{})), list[i+1:])
	}
}

func (s *store) logBackwards() {
	before := s.head()
	_, list := s.mixed(2, eventstore.Order, eventstore.Cart)
	read := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))
	slices.Reverse(list)
	s.same(s.all(s.ReadAllBackwards(s.ctx, 0, len(list), eventstore.Filter{})), list)
	s.same(s.all(s.ReadAllBackwards(s.ctx, read[4].Position, 3, eventstore.Filter{})), list[len(list)-4:len(list)-1])
	newest := s.all(s.ReadAllBackwards(s.ctx, 0, 1, eventstore.Filter{Categories: []eventstore.Category{eventstore.Order}}))
	if len(newest) != 1 || newest[0].Stream.Category() != eventstore.Order {
		s.Errorf("the newest order event: %+v", newest)
	}
}

func (s *store) logFilter() {
	before := s.head()
	streams, list := s.mixed(3, eventstore.Order, eventstore.Payment, eventstore.Customer, "orderly", "suite")
	system := events(1)
	system[0].Type = "$own"
	s.must(s.stream(eventstore.Order), eventstore.NoStream, system)
	s.must(eventstore.Stream("order"), s.revision("order"), events(1)) // no category
	want := func(categories ...eventstore.Category) (chosen []eventstore.Event) {
		for i, e := range list {
			if slices.Contains(categories, streams[i].Category()) {
				chosen = append(chosen, e)
			}
		}
		return chosen
	}
	read := func(categories ...eventstore.Category) []eventstore.Recorded {
		return s.all(s.ReadAll(s.ctx, before, eventstore.Filter{Categories: categories}))
	}
	s.same(read(), want(eventstore.Order, eventstore.Payment, eventstore.Customer))
	s.same(read(eventstore.Order), want(eventstore.Order))
	s.same(read(eventstore.Customer, eventstore.Payment), want(eventstore.Customer, eventstore.Payment))
	s.same(read(eventstore.Case), nil)
}

// revision returns the stream's current revision.
func (s *store) revision(stream eventstore.Stream) eventstore.Revision {
	s.Helper()
	for r, err := range s.ReadStreamBackwards(s.ctx, stream, 1) {
		if err == nil {
			return r.Revision
		}
	}
	return eventstore.NoStream
}

func (s *store) headCase() {
	done := s.must(s.stream(eventstore.Order), eventstore.NoStream, events(3))
	s.must(s.stream("suite"), eventstore.NoStream, events(1))
	if at := s.head(); at != done.Position {
		s.Errorf("head %d, the last domain event stands at %d", at, done.Position)
	}
}
