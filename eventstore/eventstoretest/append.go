package eventstoretest

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

func appendCases() []testCase {
	return []testCase{
		{"an append says where its last event stands", (*store).appendSaysWhere},
		{"what was appended is read byte for byte", (*store).bytesAreKept},
		{"a wrong revision is refused and leaves nothing", (*store).wrongRevision},
		{"equal events again are answered as the first time", (*store).idempotence},
		{"an id known from another stream is a new event", (*store).sameIDElsewhere},
		{"an append is contiguous among concurrent ones", (*store).contiguous},
		{"of racing appends one wins each revision", (*store).races},
		{"an append over the limit is refused whole", (*store).tooLarge},
		{"an append at the limit is taken", (*store).largest},
		{"stream names are any text", (*store).streamNames},
		{"what no store could take is refused", (*store).malformed},
	}
}

func (s *store) appendSaysWhere() {
	stream, list := s.stream(eventstore.Order), events(6)
	first := s.must(stream, eventstore.NoStream, list[:1])
	second := s.must(stream, 0, list[1:5])
	third := s.must(stream, second.Revision, list[5:])
	if first.Revision != 0 || second.Revision != 4 || third.Revision != 5 {
		s.Errorf("revisions %d, %d, %d", first.Revision, second.Revision, third.Revision)
	}
	if first.Position == 0 || second.Position <= first.Position || third.Position <= second.Position {
		s.Errorf("positions %d, %d, %d", first.Position, second.Position, third.Position)
	}
	read := s.all(s.ReadStream(s.ctx, stream, 0))
	s.same(read, list)
	for i, at := range map[int]eventstore.Position{0: first.Position, 4: second.Position, 5: third.Position} {
		if read[i].Position != at {
			s.Errorf("event %d stands at %d when read, at %d when appended", i, read[i].Position, at)
		}
	}
}

func (s *store) bytesAreKept() {
	stream := s.stream(eventstore.Order)
	list := events(5)
	list[0].Data = []byte(`{ "b":1.10,  "a":"\u00e9é\ud83d\ude00 🎉", "b":2 }`)
	list[1].Data = []byte("{}\n")
	list[2].Data, list[2].Metadata = []byte(`{"big":9007199254740993}`), []byte(`{"$correlationId":"c","z":null,"a":[]}`)
	list[3].Data = []byte{}
	list[3].Metadata = []byte{}
	list[4].Data = append([]byte(`{"x":"`), append(bytes.Repeat([]byte("ä"), 100_000), `"}`...)...)
	s.must(stream, eventstore.NoStream, list)
	read := s.all(s.ReadStream(s.ctx, stream, 0))
	if len(read) != len(list) {
		s.Fatalf("%d events", len(read))
	}
	for i, r := range read {
		if !bytes.Equal(r.Data, list[i].Data) || !bytes.Equal(r.Metadata, list[i].Metadata) || r.ID != list[i].ID || r.Type != list[i].Type || r.Stream != stream {
			s.Errorf("event %d is not what was appended: %.80q %.80q", i, r.Data, r.Metadata)
		}
		if r.Created.IsZero() || r.Created.Year() < 2020 {
			s.Errorf("event %d: created %v", i, r.Created)
		}
	}
}

func (s *store) wrongRevision() {
	stream, list := s.stream(eventstore.Order), events(3)
	refused := func(what string, expected eventstore.Revision) {
		s.Helper()
		if _, err := s.Append(s.ctx, stream, expected, events(2)); !errors.Is(err, eventstore.ErrWrongRevision) {
			s.Errorf("%s: %v", what, err)
		}
	}
	refused("a revision of a missing stream", 0)
	if err := s.failure(s.ReadStream(s.ctx, stream, 0)); !errors.Is(err, eventstore.ErrNoStream) {
		s.Errorf("the refused append made a stream: %v", err)
	}
	s.must(stream, eventstore.NoStream, list)
	refused("NoStream of an existing one", eventstore.NoStream)
	refused("an older revision", 1)
	refused("a newer revision", 3)
	refused("a far newer revision", 1<<40)
	s.same(s.all(s.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) idempotence() {
	stream, list := s.stream(eventstore.Order), events(5)
	first := s.must(stream, eventstore.NoStream, list[:2])
	second := s.must(stream, 1, list[2:4])
	last := s.must(stream, 3, list[4:])
	for what, again := range map[string]struct {
		at   eventstore.Revision
		list []eventstore.Event
		want eventstore.Appended
	}{
		"the first append":  {eventstore.NoStream, list[:2], first},
		"a middle one":      {1, list[2:4], second},
		"the newest one":    {3, list[4:], last},
		"several at once":   {eventstore.NoStream, list, last},
		"the one before it": {1, list[2:4], second},
	} {
		if got := s.must(stream, again.at, again.list); got != again.want {
			s.Errorf("%s: %+v, want %+v", what, got, again.want)
		}
	}
	mixed := []eventstore.Event{list[0], events(1)[0]}
	if _, err := s.Append(s.ctx, stream, eventstore.NoStream, mixed); !errors.Is(err, eventstore.ErrWrongRevision) {
		s.Errorf("a known event and another: %v", err)
	}
	s.same(s.all(s.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) sameIDElsewhere() {
	one, other, list := s.stream(eventstore.Order), s.stream(eventstore.Order), events(2)
	s.must(one, eventstore.NoStream, list)
	s.must(other, eventstore.NoStream, list)
	s.same(s.all(s.ReadStream(s.ctx, other, 0)), list)
}

func (s *store) contiguous() {
	before := s.head()
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for range writers {
		stream := s.stream(eventstore.Cart)
		wg.Go(func() {
			at := eventstore.NoStream
			for range each {
				done, err := s.Append(s.ctx, stream, at, events(4))
				if err != nil {
					s.Error(err)
					return
				}
				at = done.Revision
			}
		})
	}
	wg.Wait()
	read := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{Categories: []eventstore.Category{eventstore.Cart}}))
	if len(read) != writers*each*4 {
		s.Fatalf("%d events", len(read))
	}
	s.increasing(read)
	for chunk := range slices.Chunk(read, 4) {
		for i, r := range chunk {
			if r.Stream != chunk[0].Stream || r.Revision != chunk[0].Revision+eventstore.Revision(i) {
				s.Fatalf("%d@%s stands inside the append of %d@%s", r.Revision, r.Stream, chunk[0].Revision, chunk[0].Stream)
			}
		}
	}
}

func (s *store) races() {
	stream := s.stream(eventstore.Inventory)
	const writers, rounds = 8, 20
	var mu sync.Mutex
	winners := map[eventstore.Revision]uuid.UUID{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for at := eventstore.NoStream; at < rounds; at++ {
				mine := events(1)
				done, err := s.Append(s.ctx, stream, at, mine)
				if errors.Is(err, eventstore.ErrWrongRevision) {
					continue
				}
				mu.Lock()
				if _, taken := winners[done.Revision]; err != nil || taken || done.Revision != at+1 {
					s.Errorf("at %d: %+v, %v; taken: %t", at, done, err, taken)
				}
				winners[done.Revision] = mine[0].ID
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	read := s.all(s.ReadStream(s.ctx, stream, 0))
	if len(read) != rounds+1 || len(winners) != rounds+1 {
		s.Fatalf("%d events of %d winners", len(read), len(winners))
	}
	for i, r := range read {
		if r.Revision != eventstore.Revision(i) || r.ID != winners[r.Revision] {
			s.Errorf("revision %d is not its winner's", i)
		}
	}
}

// limit is MaxAppendSize of EventStoreDB and of the embedded server, in bytes.
const limit = 1 << 20

func (s *store) tooLarge() {
	unchecked := s.client(s.url, eventstore.Config{PlainAppend: s.cfg.PlainAppend, MaxAppend: 64 << 20})
	for what, c := range map[string]*eventstore.Client{"the client": s.Client, "the store": unchecked} {
		stream, list := s.stream(eventstore.Order), events(3)
		list[2].Data = bytes.Repeat([]byte(" "), limit+1)
		if _, err := c.Append(s.ctx, stream, eventstore.NoStream, list); !errors.Is(err, eventstore.ErrTooLarge) {
			s.Errorf("%s: %v", what, err)
		}
		if err := s.failure(s.ReadStream(s.ctx, stream, 0)); !errors.Is(err, eventstore.ErrNoStream) {
			s.Errorf("%s left something: %v", what, err)
		}
		if _, err := c.Append(s.ctx, stream, eventstore.NoStream, events(1)); err != nil {
			s.Errorf("%s takes nothing afterwards: %v", what, err)
		}
	}
}

func (s *store) largest() {
	stream, list := s.stream(eventstore.Order), events(1)
	list[0].Data = bytes.Repeat([]byte(" "), limit-len(list[0].Metadata)-2*len(list[0].Type))
	s.must(stream, eventstore.NoStream, list)
	s.same(s.all(s.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) streamNames() {
	for _, id := range []string{"ä/ö %20+&?", "日本 🎉", "a-b-c", "with\ttab", "$inside", ".", string(bytes.Repeat([]byte("x"), 400))} {
		stream, list := eventstore.Order.Stream(id+uuid.NewString()), events(2)
		s.must(stream, eventstore.NoStream, list)
		read := s.all(s.ReadStream(s.ctx, stream, 0))
		s.same(read, list)
		if read[0].Stream != stream {
			s.Errorf("%q became %q", stream, read[0].Stream)
		}
	}
}

func (s *store) malformed() {
	anonymous, untyped := events(1), events(1)
	anonymous[0].ID, untyped[0].Type = uuid.Nil, ""
	stream := s.stream(eventstore.Order)
	for what, call := range map[string]func() (eventstore.Appended, error){
		"no stream":   func() (eventstore.Appended, error) { return s.Append(s.ctx, "", eventstore.NoStream, events(1)) },
		"no events":   func() (eventstore.Appended, error) { return s.Append(s.ctx, stream, eventstore.NoStream, nil) },
		"no id":       func() (eventstore.Appended, error) { return s.Append(s.ctx, stream, eventstore.NoStream, anonymous) },
		"no type":     func() (eventstore.Appended, error) { return s.Append(s.ctx, stream, eventstore.NoStream, untyped) },
		"no revision": func() (eventstore.Appended, error) { return s.Append(s.ctx, stream, -2, events(1)) },
	} {
		if _, err := call(); fault.KindOf(err) != fault.Invalid {
			s.Errorf("%s: %v", what, err)
		}
	}
}
