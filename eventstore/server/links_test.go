package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// shown says what a client sees of an event that a link led to, or may have led to.
func shown(e *esdb.ResolvedEvent) string {
	one := func(r *esdb.RecordedEvent) string {
		if r == nil {
			return "-"
		}
		return fmt.Sprintf("%s/%d", r.StreamID, r.EventNumber)
	}
	if e.Link == nil {
		return fmt.Sprintf("%s %s %s", one(e.Event), e.Event.EventType, e.Event.Data)
	}
	return one(e.Link) + " -> " + one(e.Event)
}

// untilLinks waits, by a subscription, until a link stream has so many links.
func untilLinks(t testing.TB, c *esdb.Client, stream string, count int) {
	t.Helper()
	s, err := c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := 0; n < count; {
		switch e := s.Recv(); {
		case e.EventAppeared != nil:
			n++
		case e.SubscriptionDropped != nil:
			t.Fatalf("%d links, then %v", n, e.SubscriptionDropped.Error)
		}
	}
}

func readShown(t testing.TB, c *esdb.Client, stream string, o esdb.ReadStreamOptions) (all []string) {
	t.Helper()
	s, err := c.ReadStream(within(t), stream, o, math.MaxUint64)
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
		if (e.Link != nil || e.Event.EventType == "$>") && e.OriginalEvent().ContentType != "application/octet-stream" {
			t.Errorf("a link's content type is %s", e.OriginalEvent().ContentType)
		}
		all = append(all, shown(e))
	}
}

func TestLinkStreamsAreReadBothWays(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "order-1", esdb.NoStream{}, 0, 1)
	write(t, c, "cart-1", esdb.NoStream{}, 2)
	write(t, c, "order-2", esdb.NoStream{}, 3)
	untilLinks(t, c, "$ce-order", 3)
	for _, x := range []struct {
		stream string
		o      esdb.ReadStreamOptions
		want   string
	}{
		{"$ce-order", esdb.ReadStreamOptions{From: esdb.Start{}}, "$ce-order/0 $> 0@order-1, $ce-order/1 $> 1@order-1, $ce-order/2 $> 0@order-2"},
		{"$ce-order", esdb.ReadStreamOptions{From: esdb.Revision(1), ResolveLinkTos: true}, "$ce-order/1 -> order-1/1, $ce-order/2 -> order-2/0"},
		{"$ce-order", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards, ResolveLinkTos: true}, "$ce-order/2 -> order-2/0, $ce-order/1 -> order-1/1, $ce-order/0 -> order-1/0"},
		{"$et-type-0", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, "$et-type-0/0 -> order-1/0, $et-type-0/1 -> order-2/0"},
		{"$streams", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, "$streams/0 -> order-1/0, $streams/1 -> cart-1/0, $streams/2 -> order-2/0"},
		{"$category-order", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true}, "$category-order/0 $@ order-1, $category-order/1 $@ order-2"},
	} {
		if got := strings.Join(readShown(t, c, x.stream, x.o), ", "); got != x.want {
			t.Errorf("%s %+v:\n got %s\nwant %s", x.stream, x.o, got, x.want)
		}
	}
	all, err := c.ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}}, math.MaxUint64)
	if got := drain(t, all, err); len(got) != 4 {
		t.Errorf("$all has %d events, the links are not to be among them", len(got))
	}
	missing, err := c.ReadStream(within(t), "$ce-none", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	if err == nil {
		_, err = missing.Recv()
	}
	if codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("a category without events: %v", err)
	}
}

// TestLinksToWhatIsGone deletes, truncates and ends streams: their links stay, and lead to nothing.
func TestLinksToWhatIsGone(t *testing.T) {
	c := connect(t, servertest.Start(t))
	for i, stream := range []string{"x-soft", "x-cut", "x-hard"} {
		write(t, c, stream, esdb.NoStream{}, 2*i, 2*i+1)
	}
	if _, err := c.DeleteStream(within(t), "x-soft", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TombstoneStream(within(t), "x-hard", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	limits := esdb.StreamMetadata{}
	limits.SetTruncateBefore(1)
	if _, err := c.SetStreamMetadata(within(t), "x-cut", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, limits); err != nil {
		t.Fatal(err)
	}
	untilLinks(t, c, "$ce-x", 7)
	untilLinks(t, c, "$et-$deleted", 2)
	got := readShown(t, c, "$ce-x", esdb.ReadStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
	want := []string{"$ce-x/0 -> -", "$ce-x/1 -> -", "$ce-x/2 -> -", "$ce-x/3 -> x-cut/1", "$ce-x/4 -> -", "$ce-x/5 -> -", "$ce-x/6 -> -"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	got = readShown(t, c, "$et-$deleted", esdb.ReadStreamOptions{From: esdb.Start{}})
	if want := []string{"$et-$deleted/0 $> 0@$$x-soft", fmt.Sprintf("$et-$deleted/1 $> %d@x-hard", math.MaxInt64)}; !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestClientsCannotWriteLinkStreams(t *testing.T) {
	url := servertest.Start(t)
	c := connect(t, url)
	for _, stream := range []string{"$ce-order", "$et-placed", "$streams"} {
		_, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(1))
		if codeOf(err) != esdb.ErrorCodeAccessDenied || !strings.Contains(err.Error(), "the event store itself writes this stream") {
			t.Errorf("append to %s: %v", stream, err)
		}
		_, err = c.DeleteStream(within(t), stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
		if codeOf(err) != esdb.ErrorCodeAccessDenied {
			t.Errorf("delete %s: %v", stream, err)
		}
	}
}

// TestCategorySubscriberSeesEveryEventOnce appends from several clients while subscriptions to $ce-order, begun before and during it,
// follow: every event once, in the order of the log, resolved.
func TestCategorySubscriberSeesEveryEventOnce(t *testing.T) {
	const writers, each = 4, 60
	url := servertest.Start(t)
	c := connect(t, url)
	ctx := within(t)
	follow := func(began *sync.WaitGroup) error {
		s, err := c.SubscribeToStream(ctx, "$ce-order", esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
		began.Done()
		if err != nil {
			return err
		}
		defer s.Close()
		next, last := uint64(0), uint64(0)
		seen := map[string]bool{}
		for len(seen) < writers*each {
			e := s.Recv()
			if e.SubscriptionDropped != nil {
				return e.SubscriptionDropped.Error
			}
			if e.EventAppeared == nil {
				continue
			}
			link, event := e.EventAppeared.Link, e.EventAppeared.Event
			if link == nil || event == nil || link.EventNumber != next || event.Position.Commit <= last || seen[event.EventID.String()] || !strings.HasPrefix(event.StreamID, "order-") {
				return fmt.Errorf("after %d events: %s", len(seen), shown(e.EventAppeared))
			}
			seen[event.EventID.String()] = true
			next, last = next+1, event.Position.Commit
		}
		return nil
	}
	var early, late, ended sync.WaitGroup
	begin := func(began *sync.WaitGroup) {
		began.Add(1)
		ended.Go(func() {
			if err := follow(began); err != nil {
				t.Error(err)
			}
		})
	}
	begin(&early)
	early.Wait()
	for w := range writers {
		ended.Go(func() {
			for n := range each {
				for _, stream := range []string{fmt.Sprintf("order-%d", (w+n)%5), "cart-1"} {
					if err := writeOne(ctx, c, stream, w*each+n); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		if w == writers/2 {
			begin(&late)
		}
	}
	ended.Wait()
}

func writeOne(ctx context.Context, c *esdb.Client, stream string, n int) error {
	_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, numbered(n))
	return err
}

// A group on a link stream takes what is in it and what comes; messages are settled and parked under the links' ids.
func TestAGroupReadsALinkStream(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "order-1", esdb.NoStream{}, 1, 2)
	untilLinks(t, c, "$ce-order", 2)
	createGroup(t, c, "$ce-order", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true }))
	s := subscribe(t, c, "$ce-order", "g", 5)
	ack(t, s, next(t, s).Event)
	nack(t, s, esdb.NackActionPark, next(t, s).Event)
	write(t, c, "order-2", esdb.NoStream{}, 1)
	live := next(t, s).Event
	if got := shown(live); got != "$ce-order/2 -> order-2/0" {
		t.Errorf("live: %s", got)
	}
	ack(t, s, live)
	until(t, c, "$ce-order", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 1 })
	if err := c.ReplayParkedMessages(within(t), "$ce-order", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatal(err)
	}
	again := next(t, s).Event
	if again.Event.StreamID != "order-1" || again.Event.EventNumber != 1 {
		t.Errorf("parked: %s", shown(again))
	}
	ack(t, s, again)
	until(t, c, "$ce-order", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 0 })
}
