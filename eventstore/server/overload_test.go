package server_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// storeConfig is what most tests of hostile clients want: little patience.
func storeConfig() server.Config { return server.Config{KeepAlive: time.Second} }

// plain returns n bare connections whose windows don't grow, so that what a client hasn't read stays at the server.
func plain(t testing.TB, address string, n int) []*grpc.ClientConn {
	t.Helper()
	all := make([]*grpc.ClientConn, n)
	for i := range all {
		var err error
		all[i], err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10), grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = all[i].Close() })
	}
	return all
}

// used is the memory in use: heap and stacks.
func used() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// live subscribes and waits until the subscription is live.
func live(t testing.TB, ctx context.Context, c *grpc.ClientConn, req *streams.ReadReq) streams.Streams_ReadClient {
	t.Helper()
	r, err := streams.NewStreamsClient(c).Read(ctx, req)
	for err == nil {
		var m *streams.ReadResp
		if m, err = r.Recv(); err == nil && m.GetCaughtUp() != nil {
			return r
		}
	}
	t.Fatal(err)
	return nil
}

func TestTenThousandIdleSubscriptionsCostLittleAndSleep(t *testing.T) {
	const n, perConnection = 10_000, 500
	store := servertest.StartWith(t, storeConfig())
	write(t, connect(t, store.URL), "order-0", esdb.NoStream{}, 0)
	conns := plain(t, store.Addr(), n/perConnection)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, c := range conns {
		_ = live(t, ctx, c, request(ofStream("warm"), subscribing))
	}
	before := used()
	var all sync.WaitGroup
	subscriptions := make([]streams.Streams_ReadClient, n)
	for i, c := range conns {
		all.Go(func() {
			for j := range perConnection {
				k := i*perConnection + j
				subscriptions[k] = live(t, ctx, c, request(ofStream("order-"+string(rune('a'+k%26))+time.Duration(k).String()), subscribing))
			}
		})
	}
	all.Wait()
	each := (used() - before) / n
	t.Logf("%d bytes a subscription, both ends together", each)
	if each > 48<<10 {
		t.Errorf("an idle subscription costs %d bytes", each)
	}
	woken := store.Server().Woken()
	const appends = 100
	for i := range appends {
		write(t, connect(t, store.URL), "order-0", esdb.Revision(uint64(i)), i+1)
	}
	if extra := store.Server().Woken() - woken; extra > appends*40 { // streams share 1024 signals: about 10 each are woken for nothing
		t.Errorf("%d appends woke %d subscriptions of other streams", appends, extra)
	} else {
		t.Logf("%d appends woke %d of %d subscriptions", appends, extra, n)
	}
	// Who is concerned is woken.
	name := "order-a" + time.Duration(0).String()
	write(t, connect(t, store.URL), name, esdb.NoStream{}, 1)
	if m, err := subscriptions[0].Recv(); err != nil || m.GetEvent() == nil {
		t.Error(m, err)
	}
	runtime.KeepAlive(subscriptions)
}

// Of large events a reader that has stopped holds two, encoded in buffers of 1 MiB (grpc-go's pool), and the page of one.
func TestClientsThatStopReadingCostAPageEach(t *testing.T) {
	t.Run("small events", func(t *testing.T) { stopReading(t, 6000, 1<<10, 1<<20) })
	t.Run("large events", func(t *testing.T) { stopReading(t, 96, 256<<10, 3<<20) })
}

// stopReading lets 200 readers stop after their first message, of a log that would be many times larger in memory than the bound of each.
func stopReading(t *testing.T, events, size int, bound uint64) {
	const readers = 200
	store := servertest.StartWith(t, storeConfig())
	conns := plain(t, store.Addr(), 20)
	c := streams.NewStreamsClient(conns[0])
	for written := 0; written < events; {
		messages := []*streams.AppendReq{appendTo("large")}
		for ; len(messages)*size < 768<<10 && written < events; written++ {
			messages = append(messages, proposing("t", make([]byte, size)))
		}
		if _, _, err := appendOf(within(t), c, messages...); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	before := used()
	for i := range readers {
		bend := []func(*reading){subscribing}
		if i%2 == 0 {
			bend = []func(*reading){counting(1 << 60)}
		}
		r, err := streams.NewStreamsClient(conns[i%len(conns)]).Read(ctx, request(bend...))
		if err == nil {
			_, err = r.Recv() // and no more
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for store.Server().Calls() < readers {
		runtime.Gosched()
	}
	each := (used() - before) / readers
	t.Logf("%d KiB a reader that has stopped", each>>10)
	if each > bound {
		t.Errorf("a reader that has stopped costs %d KiB", each>>10)
	}
	// Others are served as if nothing were, and a reader that goes on gets everything.
	if n, err := count(within(t), streams.NewStreamsClient(plain(t, store.Addr(), 1)[0]), request(counting(1<<60))); n != events || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
	cancel()
	for bound := within(t); store.Server().Calls() > 0; {
		if bound.Err() != nil {
			t.Fatal("calls are left")
		}
		runtime.Gosched()
	}
}

func TestAThousandConnectionsAndNotOneMore(t *testing.T) {
	const n = 1000
	store := servertest.StartWith(t, server.Config{MaxConnections: n})
	ask := func(c *grpc.ClientConn) error {
		_, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(within(t), &shared.Empty{})
		return err
	}
	conns := plain(t, store.Addr(), n+1)
	before := used()
	for i, c := range conns[:n] {
		if err := ask(c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	t.Logf("%d bytes a connection, both ends together", (used()-before)/n)
	if err := ask(conns[n]); status.Code(err) != codes.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	if err := ask(conns[0]); err != nil {
		t.Errorf("those that are there: %v", err)
	}
	_ = conns[0].Close()
	for bound := within(t); ask(conns[n]) != nil; {
		if bound.Err() != nil {
			t.Fatal("no room is made by one that leaves")
		}
		conns[n].ResetConnectBackoff()
	}
}

func TestCallsBeyondTheirNumberAreRefusedAndOpenOnesAreNot(t *testing.T) {
	store := servertest.StartWith(t, server.Config{MaxCalls: 5})
	c := plain(t, store.Addr(), 1)[0]
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	for range 5 {
		live(t, ctx, c, request(subscribing))
	}
	if _, err := count(within(t), streams.NewStreamsClient(c), request()); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the sixth: %v", err)
	}
	if _, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(within(t), &shared.Empty{}); err != nil {
		t.Errorf("how clients begin: %v", err)
	}
	cancel()
	for {
		_, err := count(within(t), streams.NewStreamsClient(c), request())
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
}

func TestStoppingWithAThousandSubscribersAndSomeWhoDoNotRead(t *testing.T) {
	const n, stuck, grace = 1000, 20, 2 * time.Second
	store := servertest.StartWith(t, server.Config{Grace: grace})
	conns := plain(t, store.Addr(), 10)
	c := streams.NewStreamsClient(conns[0])
	for range 8 {
		if _, _, err := appendOf(within(t), c, appendTo("large"), proposing("t", make([]byte, 500_000))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := make([]streams.Streams_ReadClient, n)
	for i := range all {
		all[i] = live(t, ctx, conns[i%9], request(ofStream("quiet"), subscribing))
	}
	for range stuck {
		if r, err := streams.NewStreamsClient(conns[9]).Read(ctx, request(subscribing)); err != nil {
			t.Fatal(err)
		} else if _, err := r.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	store.Stop()
	took := time.Since(began)
	t.Logf("stopped in %v", took)
	if took > grace+5*time.Second { // the machine may be busy
		t.Errorf("stopping took %v, the grace is %v", took, grace)
	}
	for i, r := range all {
		if _, err := r.Recv(); status.Code(err) != codes.Unavailable {
			t.Fatalf("subscription %d: %v", i, err)
		}
	}
}

// The wall clock says when an event was created and how old it is, and nothing else: order, subscriptions and deadlines don't follow it.
func TestJumpsOfTheClock(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	jump := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	db, err := engine.Open(t.TempDir(), engine.Config{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, storeConfig())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, db.Close()); err != nil {
			t.Error(err)
		}
	}()
	conn := plain(t, listener.Addr().String(), 1)[0]
	c := streams.NewStreamsClient(conn)
	follow := live(t, within(t), conn, request(subscribing))
	next := func(d time.Duration, want uint64) {
		t.Helper()
		jump(d)
		resp, _, err := appendOf(within(t), c, appendTo("order-1"), proposing("t", nil))
		if err != nil || resp.GetSuccess().GetCurrentRevision() != want {
			t.Fatalf("%v %v", resp, err)
		}
		for {
			m, err := follow.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if e := m.GetEvent().GetEvent(); e != nil && string(e.GetStreamIdentifier().GetStreamName()) == "order-1" {
				if e.GetStreamRevision() != want {
					t.Fatalf("revision %d, want %d", e.GetStreamRevision(), want)
				}
				return
			}
		}
	}
	next(0, 0)
	next(365*24*time.Hour, 1)
	next(-2*365*24*time.Hour, 2)
	next(365*24*time.Hour, 3)
	if _, _, err := appendOf(within(t), c, appendTo("$$order-1"), proposing("$metadata", []byte(`{"$maxAge":3600}`))); err != nil {
		t.Fatal(err)
	}
	// Of now and of the future: readable. What was created a year ago is too old, until the clock goes back.
	for _, x := range []struct {
		jump time.Duration
		want int
	}{{0, 3}, {2 * time.Hour, 1}, {-2 * time.Hour, 3}, {-365 * 24 * time.Hour, 4}} {
		jump(x.jump)
		if n, err := count(within(t), c, request(ofStream("order-1"), counting(99))); n != x.want || err != nil {
			t.Errorf("after a jump of %v: %d events, want %d, %v", x.jump, n, x.want, err)
		}
	}
}
