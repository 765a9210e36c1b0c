package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

func TestUpdateDeleteAndRestartDropConsumers(t *testing.T) {
	url := servertest.Start(t)
	c, p := connect(t, url), persistent.NewPersistentSubscriptionsClient(dial(t, url))
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(always))
	read := func() persistent.PersistentSubscriptions_ReadClient {
		t.Helper()
		r, err := p.Read(within(t))
		if err != nil {
			t.Fatal(err)
		}
		err = r.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{GroupName: "g", BufferSize: 1,
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")}}}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Recv()
		if err != nil || m.GetSubscriptionConfirmation().GetSubscriptionId() != "s::g" {
			t.Fatal(m, err)
		}
		return r
	}
	dropped := func(what string, r persistent.PersistentSubscriptions_ReadClient) {
		t.Helper()
		var err error
		for err == nil {
			_, err = r.Recv()
		}
		md := r.Trailer()
		if status.Code(err) != codes.Canceled || fmt.Sprint(md["exception"], md["stream-name"], md["group-name"]) != "[persistent-subscription-dropped] [s] [g]" {
			t.Errorf("%s: %v %v", what, err, md)
		}
	}
	s := subscribe(t, c, "s", "g", 1)
	ack(t, s, expect(t, s, "s/0")...)
	until(t, c, "s", "g", checkpointed(0))
	_ = s.Close()
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return len(i.Connections) == 0 })

	r := read()
	err := c.UpdatePersistentSubscription(within(t), "s", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{},
		Settings: settings(func(s *esdb.PersistentSubscriptionSettings) {
			s.MaxRetryCount, s.ConsumerStrategyName, s.MaxSubscriberCount = 3, esdb.ConsumerStrategyPinned, 1
		})})
	if err != nil {
		t.Fatal(err)
	}
	dropped("update", r)
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Settings.MaxRetryCount == 3 && i.Settings.ConsumerStrategyName == esdb.ConsumerStrategyPinned && checkpointed(0)(i)
	})
	r = read()
	if m, err := r.Recv(); err != nil || m.GetEvent().GetEvent().GetStreamRevision() != 1 {
		t.Errorf("after the update: %v %v", m, err)
	}
	_, err = c.SubscribeToPersistentSubscription(within(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err == nil || !strings.Contains(err.Error(), "Maximum subscriptions") {
		t.Errorf("a second consumer: %v", err)
	}
	if err := c.RestartPersistentSubscriptionSubsystem(within(t), esdb.RestartPersistentSubscriptionSubsystemOptions{}); err != nil {
		t.Fatal(err)
	}
	dropped("restart", r)
	r = read()
	if err := c.DeletePersistentSubscription(within(t), "s", "g", esdb.DeletePersistentSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	dropped("delete", r)
	_, err = c.SubscribeToPersistentSubscription(within(t), "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("deleted: %v", err)
	}
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	expect(t, subscribe(t, c, "s", "g", 1), "s/0") // nothing of the old one is left
}

func TestGroupOfAllWithFilter(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "a-1", esdb.NoStream{}, 0)
	write(t, c, "b-1", esdb.NoStream{}, 1)
	at := write(t, c, "a-2", esdb.NoStream{}, 2)
	createAll := func(group string, from esdb.AllPosition, f *esdb.SubscriptionFilter) {
		t.Helper()
		err := c.CreatePersistentSubscriptionToAll(within(t), group, esdb.PersistentAllSubscriptionOptions{StartFrom: from, Filter: f, Settings: settings(always)})
		if err != nil {
			t.Fatal(err)
		}
	}
	createAll("prefix", esdb.Start{}, &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"a-"}})
	createAll("regex", esdb.Position{Commit: at.CommitPosition, Prepare: at.PreparePosition}, &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: "^type-"})
	createAll("end", esdb.End{}, nil)
	prefix, regex, end := subscribeAll(t, c, "prefix", 9), subscribeAll(t, c, "regex", 9), subscribeAll(t, c, "end", 9)
	ack(t, prefix, expect(t, prefix, "a-1/0", "a-2/0")...)
	expect(t, regex, "a-2/0") // the position is inclusive
	later := write(t, c, "b-2", esdb.NoStream{}, 3)
	expect(t, regex, "b-2/0")
	m := expect(t, end, "b-2/0")
	if m[0].Commit == nil || *m[0].Commit != later.CommitPosition {
		t.Errorf("%+v", m[0])
	}
	// What was looked at and not wanted moves the checkpoint, too: b-2 is none of "prefix".
	until(t, c, "$all", "prefix", func(i *esdb.PersistentSubscriptionInfo) bool {
		p := i.Stats.LastCheckpointedPosition
		return p != nil && p.Commit >= later.CommitPosition
	})
	// Its own checkpoints and parked messages feed no group of $all.
	nack(t, end, esdb.NackActionPark, m...)
	until(t, c, "$all", "end", parkedCount(1))
	last := write(t, c, "b-3", esdb.NoStream{}, 4)
	expect(t, end, "b-3/0")
	all, err := c.ListPersistentSubscriptionsToAll(within(t), esdb.ListPersistentSubscriptionsOptions{})
	if err != nil || len(all) != 3 || all[0].Settings.StartFrom != (esdb.End{}) {
		t.Errorf("%+v %v", all, err)
	}
	until(t, c, "$all", "prefix", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Stats.LastKnownPosition.Commit >= last.CommitPosition
	})
}

func TestLinksAreAckedByTheLinksID(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0, 1)
	link := func(to string) {
		t.Helper()
		_, err := c.AppendToStream(within(t), "links", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "$>", ContentType: esdb.ContentTypeBinary, Data: []byte(to)})
		if err != nil {
			t.Fatal(err)
		}
	}
	link("1@s")
	link("7@nowhere")
	link("0@s")
	createGroup(t, c, "links", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.ResolveLinkTos = true; always(s) }))
	s := subscribe(t, c, "links", "g", 3)
	m := expect(t, s, "links/0", "links/1", "links/2")
	if m[0].Event == nil || m[0].Event.StreamID != "s" || m[0].Event.EventNumber != 1 || m[1].Event != nil || m[2].Event.EventNumber != 0 {
		t.Fatalf("%+v", m)
	}
	nack(t, s, esdb.NackActionPark, m[0])
	ack(t, s, m[1], m[2])
	until(t, c, "links", "g", checkpointed(2))
	r, err := c.ReadStream(within(t), "$persistentsubscription-links::g-parked", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)
	if got := fmt.Sprint(drain(t, r, err)); got != "[0:1@s]" {
		t.Error(got)
	}
}

func TestATombstoneEndsTheGroup(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0)
	createGroup(t, c, "s", "g", esdb.Start{}, nil)
	s := subscribe(t, c, "s", "g", 3)
	expect(t, s, "s/0")
	if _, err := c.TombstoneStream(within(t), "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e := s.Recv()
		if e.SubscriptionDropped == nil || status.Code(e.SubscriptionDropped.Error) != codes.FailedPrecondition {
			t.Fatalf("%+v", e)
		}
		s = subscribe(t, c, "s", "g", 3)
	}
}

// "a" with the group "b::c" and "a::b" with "c" would keep their checkpoints and parked messages in the same streams.
func TestTwoGroupsNeverShareTheirStreams(t *testing.T) {
	c := connect(t, servertest.Start(t))
	createGroup(t, c, "a", "b::c", esdb.Start{}, settings(nil))
	err := c.CreatePersistentSubscription(within(t), "a::b", "c", esdb.PersistentStreamSubscriptionOptions{Settings: settings(nil)})
	if codeOf(err) != esdb.ErrorCodeResourceAlreadyExists {
		t.Errorf("another group of the same name: %v", err)
	}
}
