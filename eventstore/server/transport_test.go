package server_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// idle is for how long a subscription is left alone; make soak leaves it for longer than a minute.
var idle = flag.Duration("idle", 3*time.Second, "how long TestAnIdleSubscriptionLives leaves its subscription alone")

func TestServerFeaturesListWhatIsServed(t *testing.T) {
	conn := dial(t, servertest.Start(t))
	answer, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(within(t), empty())
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^(2[3-9]|[3-9]\d)\.\d+\.\d+$`).MatchString(answer.EventStoreServerVersion) {
		t.Errorf("clients want three numbers, from 23 on: %s", answer.EventStoreServerVersion)
	}
	listed := map[string]bool{}
	for _, m := range answer.Methods {
		name := m.ServiceName + "/" + m.MethodName
		if name != strings.ToLower(name) {
			t.Errorf("%s is not in lower case", name)
		}
		listed[name] = true
		for _, f := range m.Features {
			listed[name+"+"+f] = true
		}
	}
	for _, name := range []string{"read", "read+position", "read+events", "append", "batchappend", "batchappend+deadline_duration", "delete", "tombstone"} {
		if !listed["event_store.client.streams.streams/"+name] {
			t.Errorf("streams/%s is not listed", name)
		}
	}
	_, err = persistent.NewPersistentSubscriptionsClient(conn).Create(within(t), &persistent.CreateReq{})
	served := status.Code(err) != codes.Unimplemented
	for _, method := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"} {
		if name := "event_store.client.persistent_subscriptions.persistentsubscriptions/" + method; listed[name] != served {
			t.Errorf("%s: listed %v, served %v", name, listed[name], served)
		}
	}
	for name := range listed {
		if strings.Contains(name, "projections") || strings.Contains(name, ".users.") || strings.Contains(name, ".operations.") {
			t.Errorf("%s is listed, but not served", name)
		}
	}
}

func TestGossipNamesTheConfiguredAddress(t *testing.T) {
	w, _ := serve(t, engine.Config{}, server.Config{Advertise: "events.example:1234", Grace: time.Second})
	before := time.Now()
	info, err := gossip.NewGossipClient(dial(t, w.url)).Read(within(t), empty())
	if err != nil || len(info.Members) != 1 {
		t.Fatal(info, err)
	}
	m := info.Members[0]
	if m.HttpEndPoint.Address != "events.example" || m.HttpEndPoint.Port != 1234 || m.State != gossip.MemberInfo_Leader || !m.IsAlive {
		t.Error(m)
	}
	if at := engine.Ticks(m.TimeStamp).Time(); at.Before(before.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
		t.Errorf("the time stamp counts 100 ns since 1970: %v", at)
	}
	if id := m.InstanceId.GetStructured(); id.GetMostSignificantBits() == 0 && id.GetLeastSignificantBits() == 0 {
		t.Error("a node needs an instance id")
	}
}

// frame is an HTTP/2 frame's type and flags (RFC 9113, section 4.1).
type frame struct{ kind, flags byte }

const (
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7
	flagAck       = 1
)

func sendFrame(t *testing.T, c net.Conn, f frame, payload []byte) {
	t.Helper()
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8)
	head[3], head[4] = f.kind, f.flags
	if _, err := c.Write(append(head, payload...)); err != nil {
		t.Fatal(err)
	}
}

func receiveFrame(t *testing.T, c net.Conn) (f frame, payload []byte) {
	t.Helper()
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	payload = make([]byte, binary.BigEndian.Uint32(head)>>8)
	if _, err := io.ReadFull(c, payload); err != nil {
		t.Fatal(err)
	}
	return frame{head[3], head[4]}, payload
}

// Clients ping every 10 s, also without a call. grpc-go's own policy hangs up on the third ping; a second's distance does here for ten.
func TestPingsOfAnIdleClientAreAnswered(t *testing.T) {
	w, _ := serve(t, engine.Config{}, server.Config{Grace: time.Second})
	address, _, _ := strings.Cut(strings.TrimPrefix(w.url, "esdb://"), "?")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	sendFrame(t, c, frame{kind: frameSettings}, nil)
	tick := time.NewTicker(1100 * time.Millisecond)
	defer tick.Stop()
	for n := range 5 {
		sendFrame(t, c, frame{kind: framePing}, []byte(fmt.Sprintf("ping%4d", n)))
		for answered := false; !answered; {
			switch f, payload := receiveFrame(t, c); {
			case f.kind == frameGoAway:
				t.Fatalf("ping %d: the server hangs up: %q", n, payload)
			case f.kind == frameSettings && f.flags&flagAck == 0:
				sendFrame(t, c, frame{kind: frameSettings, flags: flagAck}, nil)
			case f.kind == framePing && f.flags&flagAck != 0:
				answered = true
			}
		}
		<-tick.C
	}
}

func TestAnIdleSubscriptionLives(t *testing.T) {
	t.Parallel()
	w := onTheWire(t)
	c := connect(t, w.url)
	ctx, cancel := context.WithTimeout(context.Background(), *idle+time.Minute)
	defer cancel()
	sub, err := c.SubscribeToAll(ctx, esdb.SubscribeToAllOptions{From: esdb.End{}})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if e := sub.Recv(); e.CaughtUp == nil {
		t.Fatalf("%+v", e)
	}
	<-time.After(*idle)
	w.must("s", "none", 0)
	if e := sub.Recv(); e.EventAppeared == nil {
		t.Fatalf("after %v: %+v", *idle, e)
	}
}

func TestTheLargestMessagesPass(t *testing.T) {
	const largest = 16<<20 - 10_000 // what the vendor's server takes in one message
	w, _ := serve(t, engine.Config{MaxAppendBytes: 32 << 20}, server.Config{MaxAppend: 32 << 20, Grace: time.Second})
	m := proposed(0)
	m.Data = make([]byte, largest-200)
	if _, _, err := w.append("s", "none", m); err != nil {
		t.Fatal(err)
	}
	c := connect(t, w.url)
	s, err := c.ReadStream(within(t), "s", esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Recv(); err != nil || len(e.Event.Data) != len(m.Data) {
		t.Fatalf("the official client reads it: %v", err)
	}
}

func TestCancelledReadsFreeTheirResources(t *testing.T) {
	w, stop := serve(t, engine.Config{}, server.Config{Grace: 20 * time.Second, MaxAppend: 4 << 20})
	m := proposed(0)
	m.Data = make([]byte, 2<<20)
	if _, _, err := w.append("s", "none", m, proposed(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	for range 50 { // each is stuck: nobody takes what it sends
		if _, err := w.c.Read(ctx, query("s", "start", huge)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.c.Read(ctx, query("", "start", -1)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if took := stop(); took > 15*time.Second {
		t.Errorf("cancelled reads held the server for %v", took)
	}
}

func TestRefusedServicesSayWhatToUse(t *testing.T) {
	conn := dial(t, servertest.Start(t))
	for method, word := range map[string]string{
		"/event_store.client.projections.Projections/Create":           "fold",
		"/event_store.client.users.Users/Create":                       "annal",
		"/event_store.client.operations.Operations/StartScavenge":      "annal",
		"/event_store.client.monitoring.Monitoring/Stats":              "annal",
		"/event_store.client.redaction.Redaction/SwitchChunks":         "annal",
		"/kurrentdb.protocol.v2.streams.StreamsService/AppendSession":  "annal",
		"/event_store.client.streams.Streams/NoSuchMethodInAnyVersion": "",
	} {
		err := conn.Invoke(within(t), method, &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", method, err)
		}
	}
}
