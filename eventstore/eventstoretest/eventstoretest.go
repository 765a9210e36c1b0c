// Package eventstoretest is the contract between Annal and its event store, as a test suite.
//
// Everything that the project relies on is said here once and held against every store that it may run on: the embedded
// server, and an EventStoreDB or KurrentDB of one's own (ANNAL_TEST_EVENTSTORE_URL). What is not tested here, nobody may
// depend on. The suite speaks through eventstore.Client alone, so it is the client's contract as well.
//
// A store may hold anything before and afterwards: each case uses streams of its own and looks only at what it wrote. Cases run
// one after another, since some of them compare the whole log with what they appended.
package eventstoretest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

// Run holds the store whose URL open returns to the contract.
func Run(t *testing.T, open func(t *testing.T) (url string)) {
	t.Helper()
	url := open(t)
	groups := []struct {
		name  string
		cases []testCase
		plain bool
	}{
		{"append", appendCases(), false},
		{"append as single calls", appendCases(), true},
		{"read", readCases(), false},
		{"log", logCases(), false},
		{"subscribe", subscribeCases(), false},
		{"identity", identityCases(), false},
		{"outage", outageCases(), false},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newStore(t, url, eventstore.Config{PlainAppend: g.plain})) })
			}
		})
	}
}

type testCase struct {
	name string
	run  func(*store)
}

// store is a client and what a case needs around it.
type store struct {
	*testing.T
	*eventstore.Client
	url string
	ctx context.Context
	cfg eventstore.Config
}

// patience bounds each case.
const patience = 60 * time.Second

func newStore(t *testing.T, url string, cfg eventstore.Config) *store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &store{T: t, url: url, ctx: ctx, cfg: cfg}
	s.Client = s.client(url, cfg)
	return s
}

// client returns another client of the store, closed with the test.
func (s *store) client(url string, cfg eventstore.Config) *eventstore.Client {
	s.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := eventstore.Open(url, cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.Error(err)
		}
	})
	return c
}

// stream returns the name of a stream that nobody else uses.
func (s *store) stream(c eventstore.Category) eventstore.Stream { return c.Stream(uuid.NewString()) }

// events returns n events that nobody else has.
func events(n int) []eventstore.Event {
	command := uuid.New()
	list := make([]eventstore.Event, n)
	for i := range list {
		data := fmt.Appendf(nil, `{"n":%d,"command":%q}`, i, command)
		list[i] = eventstore.Event{ID: eventstore.EventID(command, i, data), Type: "suite.happened.v1", Data: data, Metadata: []byte(`{"schema":1}`)}
	}
	return list
}

// must appends and ends the case if that fails.
func (s *store) must(stream eventstore.Stream, expected eventstore.Revision, list []eventstore.Event) eventstore.Appended {
	s.Helper()
	done, err := s.Append(s.ctx, stream, expected, list)
	if err != nil {
		s.Fatalf("append to %s at %d: %v", stream, expected, err)
	}
	return done
}

// all drains a read and ends the case if it fails.
func (s *store) all(read iter.Seq2[eventstore.Recorded, error]) []eventstore.Recorded {
	s.Helper()
	var list []eventstore.Recorded
	for r, err := range read {
		if err != nil {
			s.Fatalf("read, after %d events: %v", len(list), err)
		}
		list = append(list, r)
	}
	return list
}

// failure returns the error of a read that must yield nothing else.
func (s *store) failure(read iter.Seq2[eventstore.Recorded, error]) error {
	s.Helper()
	for r, err := range read {
		if err == nil {
			s.Fatalf("read event %d@%s", r.Revision, r.Stream)
		}
		return err
	}
	return nil
}

func (s *store) head() eventstore.Position {
	s.Helper()
	at, err := s.Head(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	return at
}

// same compares what was read with what was appended, in order.
func (s *store) same(got []eventstore.Recorded, want []eventstore.Event) {
	s.Helper()
	var events []eventstore.Event
	for _, r := range got {
		events = append(events, eventstore.Event{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: r.Metadata})
	}
	equal := func(a, b eventstore.Event) bool {
		return a.ID == b.ID && a.Type == b.Type && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Metadata, b.Metadata)
	}
	if slices.EqualFunc(want, events, equal) { // cmp takes seconds for thousands of events
		return
	}
	if diff := cmp.Diff(want, events, cmpopts.EquateEmpty()); diff != "" {
		s.Fatalf("not what was appended (-want +got):\n%s", diff)
	}
}

// increasing checks that positions strictly increase.
func (s *store) increasing(list []eventstore.Recorded) {
	s.Helper()
	for i := 1; i < len(list); i++ {
		if list[i].Position <= list[i-1].Position {
			s.Fatalf("position %d comes after %d", list[i].Position, list[i-1].Position)
		}
	}
}
