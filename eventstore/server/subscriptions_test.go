package server_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

func TestSubscriptionsStartBehindWhatIsNamed(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1, 2) // 1, 2, 3
	w.describe("cut", `{"$tb":1}`)
	w.must("cut", "none", 3, 4) // 5, 6
	type live struct{ expect func(...string) }
	var stream, all []live
	for what, words := range map[any][]string{"start": {"0@s", "1@s", "2@s"}, 0: {"1@s", "2@s"}, 2: nil, 3: nil, "end": nil} {
		expect, _ := w.follow(query("s", what, -1))
		expect(append(append([]string{"confirmed"}, words...), "caught-up")...)
		if what != 3 { // that one waits for what is behind revision 3
			stream = append(stream, live{expect})
		}
	}
	for what, words := range map[any][]string{"start": {"0@s", "1@s", "2@s", "0@$$cut", "0@cut", "1@cut"}, 3: {"0@$$cut", "0@cut", "1@cut"}, 6: nil, "end": nil} {
		expect, _ := w.follow(query("", what, -1))
		expect(append(append([]string{"confirmed"}, words...), "caught-up")...)
		all = append(all, live{expect})
	}
	beyond, _ := w.follow(query("", 7, -1))
	beyond("confirmed", "caught-up")
	expect, _ := w.follow(query("cut", "start", -1))
	expect("confirmed", "1@cut", "caught-up")
	missing, _ := w.follow(query("later", "start", -1))
	missing("confirmed", "caught-up")
	w.must("s", 2, 5)
	w.must("later", "none", 6, 7)
	for _, l := range stream {
		l.expect("3@s")
	}
	for _, l := range all {
		l.expect("3@s", "0@later", "1@later")
	}
	beyond("0@later")
	missing("0@later", "1@later")
}

func TestASubscriberThatFellBehindIsToldWhenItHasCaughtUpAgain(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0)
	for _, req := range []*streams.ReadReq{query("s", "end", -1), query("", "end", -1)} {
		expect, _ := w.follow(req)
		expect("confirmed", "caught-up")
		resp, _, err := w.append("s", "any")
		if err != nil {
			t.Fatal(err)
		}
		first := int(resp.GetSuccess().GetCurrentRevision()) + 1
		var numbers []int
		var words []string
		for n := range 1500 { // more than is read at once
			numbers = append(numbers, first+n)
			words = append(words, fmt.Sprintf("%d@s", first+n))
		}
		w.must("s", "any", numbers...)
		expect(words...)
		expect("caught-up")
	}
}

func TestSlowSubscribersMissNothingUnderLoad(t *testing.T) {
	const writers, each = 8, 150
	w := onTheWire(t)
	_, all := w.follow(query("", "start", -1))
	_, some := w.follow(query("", "start", -1, filtered(false, "", "w-3", "w-5")))
	var wg sync.WaitGroup
	for k := range writers {
		wg.Go(func() {
			for n := range each {
				w.must(fmt.Sprintf("w-%d", k), "any", 10_000*k+n)
			}
		})
	}
	follow := func(sub streams.Streams_ReadClient, want int) {
		next := map[string]uint64{}
		var last, checkpoint uint64
		for got := 0; got < want; {
			m, err := sub.Recv()
			if err != nil {
				t.Fatalf("after %d events: %v", got, err)
			}
			if c := m.GetCheckpoint(); c != nil {
				if c.GetCommitPosition() < max(last, checkpoint) {
					t.Fatalf("a checkpoint runs backwards: %d after %d", c.GetCommitPosition(), max(last, checkpoint))
				}
				checkpoint = c.GetCommitPosition()
			}
			e := m.GetEvent().GetEvent()
			if e == nil {
				continue
			}
			got++
			stream := string(e.GetStreamIdentifier().GetStreamName())
			if e.GetStreamRevision() != next[stream] || e.GetCommitPosition() <= max(last, checkpoint) {
				t.Fatalf("%s: revision %d at %d, want revision %d behind %d and checkpoint %d", stream, e.GetStreamRevision(), e.GetCommitPosition(), next[stream], last, checkpoint)
			}
			next[stream]++
			last = e.GetCommitPosition()
		}
	}
	wg.Wait() // nothing was taken meanwhile: the log is what keeps it
	follow(all, writers*each)
	follow(some, 2*each)
}

func TestATombstoneEndsASubscriptionADeletionDoesNot(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0)
	expect, sub := w.follow(query("s", "start", -1))
	expect("confirmed", "0@s", "caught-up")
	w.delete("s")
	w.must("s", "any", 1, 2)
	expect("1@s", "2@s")
	w.tombstone("s")
	_, err := sub.Recv()
	if status.Code(err) != codes.FailedPrecondition || trailers(sub.Trailer()) != "exception=stream-deleted stream-name=s" {
		t.Errorf("%v %v", err, sub.Trailer())
	}
}

func TestFiltersOfSubscriptions(t *testing.T) {
	w := onTheWire(t)
	w.must("order-1", "none", 0, 1, 2) // types 0, 1, 2
	w.must("Order-2", "none", 3)
	w.must("$sys", "none", 4)
	for what, x := range map[string]struct {
		filter func(*streams.ReadReq_Options)
		want   []string
	}{
		"prefix, case counts":    {filtered(false, "", "order-"), []string{"0@order-1", "1@order-1", "2@order-1", "checkpoint:5"}},
		"several":                {filtered(false, "", "Ord", "$"), []string{"0@Order-2", "0@$sys"}},
		"an expression, unbound": {filtered(false, "der-[2-9]"), []string{"0@Order-2", "checkpoint:5"}},
		"without system streams": {filtered(false, `^[^\$].*`), []string{"0@order-1", "1@order-1", "2@order-1", "0@Order-2", "checkpoint:5"}},
		"looking around":         {filtered(false, `^(?!\$|O)`), []string{"0@order-1", "1@order-1", "2@order-1", "checkpoint:5"}},
		"types":                  {filtered(true, "", "type-1"), []string{"1@order-1", "0@$sys"}},
		"an expression wins":     {filtered(true, "0$", "type-1"), []string{"0@order-1", "0@Order-2", "checkpoint:5"}},
	} {
		t.Run(what, func(t *testing.T) {
			expect, _ := wire{t: t, c: w.c}.follow(query("", "start", -1, x.filter))
			expect(append(append([]string{"confirmed"}, x.want...), "caught-up")...)
		})
	}
	none := filtered(true, "", "x")
	for what, change := range map[string]func(*streams.ReadReq_Options_FilterOptions){
		"no interval": func(f *streams.ReadReq_Options_FilterOptions) { f.CheckpointIntervalMultiplier = 0 },
		"no window": func(f *streams.ReadReq_Options_FilterOptions) {
			f.Window = &streams.ReadReq_Options_FilterOptions_Max{}
		},
		"no subject": func(f *streams.ReadReq_Options_FilterOptions) { f.Filter = nil },
	} {
		wantRead(t, w, what, "", codes.InvalidArgument, query("", "start", -1, none, func(o *streams.ReadReq_Options) { change(o.GetFilter()) }))
	}
	unset := func(o *streams.ReadReq_Options) { o.FilterOption = nil }
	nothing := func(o *streams.ReadReq_Options) {
		o.FilterOption = &streams.ReadReq_Options_NoFilter{NoFilter: empty()}
	}
	for _, change := range []func(*streams.ReadReq_Options){unset, nothing} {
		wantRead(t, w, "no filter", "0@order-1", codes.OK, query("", "start", 1, change))
	}
}

func TestCheckpointsInHistoryAndLive(t *testing.T) {
	w := onTheWire(t)
	for n := range 10 {
		w.must(fmt.Sprint("s-", n), "none", n)
	}
	every := func(window, times uint32) func(*streams.ReadReq_Options) {
		return func(o *streams.ReadReq_Options) {
			o.GetFilter().Window = &streams.ReadReq_Options_FilterOptions_Max{Max: window}
			o.GetFilter().CheckpointIntervalMultiplier = times
		}
	}
	expect, _ := w.follow(query("", "start", -1, filtered(false, "", "s-4", "t-"), every(2, 2)))
	expect("confirmed", "checkpoint:4", "0@s-4", "checkpoint:8", "checkpoint:10", "caught-up")
	for n := range 4 {
		w.must(fmt.Sprint("live-", n), "none", 100+n)
	}
	expect("checkpoint:14")
	w.must("t-1", "none", 200)
	expect("0@t-1")
	resumed, _ := w.follow(query("", 8, -1, filtered(false, "", "s-", "t-"), every(32, 1)))
	resumed("confirmed", "0@s-8", "0@s-9", "0@t-1", "caught-up")
	unfiltered, _ := w.follow(query("", 13, -1))
	unfiltered("confirmed", "0@live-3", "0@t-1", "caught-up")
}

func TestStoppingSaysUnavailable(t *testing.T) {
	w, stop := serve(t, engine.Config{}, server.Config{Grace: 5 * time.Second})
	w.must("s", "none", 0)
	expectAll, all := w.follow(query("", "start", -1))
	expectOne, one := w.follow(query("s", "start", -1))
	expectAll("confirmed", "0@s", "caught-up")
	expectOne("confirmed", "0@s", "caught-up")
	if took := stop(); took > 4*time.Second {
		t.Errorf("idle subscriptions held it for %v", took)
	}
	for _, sub := range []streams.Streams_ReadClient{all, one} {
		if _, err := sub.Recv(); status.Code(err) != codes.Unavailable {
			t.Error(err)
		}
	}
}

func TestTheOfficialClientHearsCaughtUpAndTombstones(t *testing.T) {
	w := onTheWire(t)
	c := connect(t, w.url)
	sub, err := c.SubscribeToStream(within(t), "later", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if e := sub.Recv(); e.CaughtUp == nil {
		t.Fatalf("%+v", e)
	}
	w.must("later", "none", 0)
	if e := sub.Recv(); e.EventAppeared == nil {
		t.Fatalf("%+v", e)
	}
	w.tombstone("later")
	if e := sub.Recv(); e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != codes.FailedPrecondition {
		t.Fatalf("%+v", e)
	}
}

// Metadata may hide what was not written yet, and show it again before it is: who follows the stream must not have passed it over.
func TestATruncationBeyondTheEndPassesNothingOver(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1)
	want, _ := w.follow(query("s", "start", -1))
	want("confirmed", "0@s", "1@s", "caught-up")
	w.describe("s", `{"$tb":1000}`)
	w.must("s", 1, 2)
	w.describe("s", `{}`)
	w.must("s", 2, 3)
	want("3@s")
}
