package eventstoretest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

func subscribeCases() []testCase {
	return []testCase{
		{"history and live join without gap or double", (*store).joins},
		{"a subscription begins strictly after its position", (*store).subscribeAfter},
		{"a filter that takes nothing still gets on", (*store).checkpoints},
		{"a slow reader loses nothing", (*store).slowReader},
		{"a handler's error ends the subscription as it is", (*store).handlerError},
	}
}

func identityCases() []testCase {
	return []testCase{{"a store has one identity for all", (*store).oneIdentity}}
}

// follow subscribes until enough events of the filter came, and returns every item.
func (s *store) follow(c *eventstore.Client, after eventstore.Position, f eventstore.Filter, enough int, each func(eventstore.Item)) []eventstore.Recorded {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var got []eventstore.Recorded
	last := after
	err := c.Subscribe(ctx, after, f, func(i eventstore.Item) error {
		if i.Position < last || i.Event != nil && i.Event.Position != i.Position {
			s.Errorf("item at %d after %d", i.Position, last)
		}
		last = i.Position
		if i.Event != nil {
			got = append(got, *i.Event)
		}
		if each != nil {
			each(i)
		}
		if len(got) >= enough {
			cancel()
		}
		return nil
	})
	if err != nil {
		s.Fatalf("after %d of %d events: %v", len(got), enough, err)
	}
	if len(got) < enough {
		s.Fatalf("%d of %d events in time", len(got), enough)
	}
	return got
}

// writers appends from several streams at once, each pairs times two events, and returns how many that makes.
func (s *store) writers(wg *sync.WaitGroup, c *eventstore.Client, writers, pairs int) (total int) {
	for range writers {
		stream := s.stream(eventstore.Order)
		wg.Go(func() {
			for n := range pairs {
				if _, err := c.Append(s.ctx, stream, eventstore.Revision(2*n-1), events(2)); err != nil {
					s.Errorf("append %d: %v", n, err)
					return
				}
			}
		})
	}
	return 2 * writers * pairs
}

func (s *store) joins() {
	before := s.head()
	var history, live sync.WaitGroup
	total := s.writers(&history, s.Client, 4, 100)
	history.Wait()
	total += s.writers(&live, s.Client, 4, 100)
	caughtUp := 0
	got := s.follow(s.Client, before, eventstore.Filter{}, total, func(i eventstore.Item) {
		if i.CaughtUp {
			caughtUp++
		}
	})
	live.Wait()
	s.increasing(got)
	if caughtUp == 0 {
		s.Error("it was never said to have caught up")
	}
	want := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))
	s.sameIDs(got, want)
}

func (s *store) sameIDs(got, want []eventstore.Recorded) {
	s.Helper()
	ids := func(list []eventstore.Recorded) (ids []uuid.UUID) {
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids
	}
	if g, w := ids(got), ids(want); !slices.Equal(g, w) {
		s.Errorf("%d events handed over are not the %d of the log", len(g), len(w))
	}
}

func (s *store) subscribeAfter() {
	before := s.head()
	_, list := s.mixed(2, eventstore.Payment)
	read := s.all(s.ReadAll(s.ctx, before, eventstore.Filter{}))
	s.same(s.follow(s.Client, read[3].Position, eventstore.Filter{}, len(list)-4, nil), list[4:])
}

func (s *store) checkpoints() {
	before := s.head()
	rare := eventstore.Filter{Categories: []eventstore.Category{eventstore.Case}}
	var wg sync.WaitGroup
	s.writers(&wg, s.Client, 8, 320)
	wg.Wait()
	last := s.must(s.stream(eventstore.Case), eventstore.NoStream, events(1))
	var at eventstore.Position
	s.follow(s.Client, before, rare, 1, func(i eventstore.Item) {
		if i.Event == nil {
			at = max(at, i.Position)
		}
	})
	if at <= before || at > last.Position {
		s.Fatalf("over 5,000 events that the filter leaves out it got from %d to %d", before, at)
	}
	if got := s.follow(s.Client, at, rare, 1, nil); got[0].Position != last.Position {
		s.Errorf("resumed at a checkpoint, it found the event at %d, not at %d", got[0].Position, last.Position)
	}
}

func (s *store) slowReader() {
	before := s.head()
	var wg sync.WaitGroup
	release := make(chan struct{})
	total := s.writers(&wg, s.Client, 4, 200)
	go func() {
		defer close(release)
		wg.Wait()
	}()
	got := s.follow(s.Client, before, eventstore.Filter{}, total, func(i eventstore.Item) {
		if i.Event != nil {
			<-release // with the first event in hand until everything is written
		}
	})
	s.sameIDs(got, s.all(s.ReadAll(s.ctx, before, eventstore.Filter{})))
}

func (s *store) handlerError() {
	before := s.head()
	s.must(s.stream(eventstore.Order), eventstore.NoStream, events(1))
	own := errors.New("own")
	if err := s.Subscribe(s.ctx, before, eventstore.Filter{}, func(eventstore.Item) error { return own }); err != own { //nolint:errorlint // as it is
		s.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if err := s.Subscribe(ctx, before, eventstore.Filter{}, func(eventstore.Item) error { return own }); err != nil {
		s.Errorf("with a context that has ended: %v", err)
	}
}

func (s *store) oneIdentity() {
	clients := make([]*eventstore.Client, 8)
	for i := range clients {
		clients[i] = s.client(s.url, eventstore.Config{})
	}
	ids := make([]eventstore.StoreID, 2*len(clients))
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := clients[i%len(clients)].Identity(s.ctx)
			if err != nil || id == "" {
				s.Errorf("%q, %v", id, err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 {
		s.Errorf("identities %v", ids)
	}
}
