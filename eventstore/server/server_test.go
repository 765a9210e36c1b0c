package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

func TestMain(m *testing.M) {
	// regexp2 keeps one clock for all matches with a time limit; it stops by itself a while after the last.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

// connect returns an official client that is closed with the test.
func connect(t testing.TB, url string) *esdb.Client {
	t.Helper()
	cfg, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// numbered makes an event whose id and data come from n.
func numbered(n int) esdb.EventData {
	return esdb.EventData{
		EventID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, n)), EventType: fmt.Sprintf("type-%d", n%3),
		ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, `{"n":%d}`, n), Metadata: []byte(`{"m":1}`),
	}
}

func write(t testing.TB, c *esdb.Client, stream string, x esdb.ExpectedRevision, ns ...int) *esdb.WriteResult {
	t.Helper()
	var events []esdb.EventData
	for _, n := range ns {
		events = append(events, numbered(n))
	}
	r, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: x}, events...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drain reads a stream to its end and returns "revision:data" of each event.
func drain(t testing.TB, s *esdb.ReadStream, err error) (all []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		e, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d:%s", e.OriginalEvent().EventNumber, e.OriginalEvent().Data))
	}
}

func codeOf(err error) esdb.ErrorCode {
	var e *esdb.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return -1
}

func TestAppendAndReadBothWays(t *testing.T) {
	c := connect(t, servertest.Start(t))
	first := write(t, c, "order-1", esdb.NoStream{}, 0, 1, 2)
	if first.NextExpectedVersion != 2 || first.CommitPosition != 3 {
		t.Fatalf("%+v", first)
	}
	if again := write(t, c, "order-1", esdb.NoStream{}, 0, 1, 2); *again != *first {
		t.Fatalf("a repeated append: %+v, first %+v", again, first)
	}
	write(t, c, "order-2", esdb.Any{}, 3)
	ctx := within(t)
	s, err := c.ReadStream(ctx, "order-1", esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64)
	if got := fmt.Sprint(drain(t, s, err)); got != `[0:{"n":0} 1:{"n":1} 2:{"n":2}]` {
		t.Error(got)
	}
	s, err = c.ReadStream(ctx, "order-1", esdb.ReadStreamOptions{From: esdb.Revision(1), Direction: esdb.Backwards}, 5)
	if got := fmt.Sprint(drain(t, s, err)); got != `[1:{"n":1} 0:{"n":0}]` {
		t.Error(got)
	}
	s, err = c.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
	if got := drain(t, s, err); len(got) != 4 {
		t.Error(got)
	}
	s, err = c.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 2)
	if got := fmt.Sprint(drain(t, s, err)); got != `[0:{"n":3} 2:{"n":2}]` {
		t.Error(got)
	}
	s, err = c.ReadStream(ctx, "order-9", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	if err == nil {
		_, err = s.Recv()
	}
	if codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("a missing stream: %v", err)
	}
	_, err = c.AppendToStream(ctx, "order-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(7)}, numbered(9))
	if codeOf(err) != esdb.ErrorCodeWrongExpectedVersion {
		t.Errorf("a wrong revision: %v", err)
	}
}

func TestSubscriptionsCatchUpAndGoOn(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "a-1", esdb.Any{}, 0, 1)
	write(t, c, "b-1", esdb.Any{}, 2)
	ctx := within(t)
	all, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{
		Type: esdb.StreamFilterType, Prefixes: []string{"a-"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	later, err := c.SubscribeToStream(ctx, "c-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	want := func(s *esdb.Subscription, text string) {
		t.Helper()
		e := s.Recv()
		var got string
		switch {
		case e.EventAppeared != nil:
			got = fmt.Sprintf("%s/%d", e.EventAppeared.Event.StreamID, e.EventAppeared.Event.EventNumber)
		case e.CaughtUp != nil:
			got = "caught up"
		case e.CheckPointReached != nil:
			got = fmt.Sprintf("checkpoint %d", e.CheckPointReached.Commit)
		case e.SubscriptionDropped != nil:
			got = fmt.Sprintf("dropped %v", e.SubscriptionDropped.Error)
		}
		if got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
	want(all, "a-1/0")
	want(all, "a-1/1")
	want(all, "checkpoint 3")
	want(all, "caught up")
	want(later, "caught up")
	write(t, c, "c-1", esdb.NoStream{}, 3)
	write(t, c, "a-1", esdb.StreamExists{}, 4)
	want(later, "c-1/0")
	want(all, "a-1/2")
}

func TestStoppingEndsSubscriptionsAndRestartKeepsEverything(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := connect(t, store.URL)
	write(t, c, "a-1", esdb.NoStream{}, 0)
	s, err := c.SubscribeToAll(within(t), esdb.SubscribeToAllOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	store.Restart()
	for {
		e := s.Recv()
		if e.SubscriptionDropped != nil {
			break
		}
	}
	c = connect(t, store.URL)
	again, err := c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, again, err)); got != `[0:{"n":0}]` {
		t.Fatal(got)
	}
}
