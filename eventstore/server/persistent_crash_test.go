package server_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// TestStoreProcess is no test: it is the store that TestKillMinusNine starts and kills, in a process of its own.
func TestStoreProcess(t *testing.T) {
	dir := os.Getenv("ANNAL_TEST_STORE_PROCESS")
	if dir == "" {
		t.Skip("started by TestKillMinusNine")
	}
	db, err := engine.Open(dir, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(db, server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("esdb://" + l.Addr().String() + "?tls=false") //nolint:forbidigo // the parent reads it
	if err := s.Serve(context.Background(), l); err != nil {
		t.Fatal(err)
	}
}

// process starts a store over dir, and returns its URL and how to kill it.
func process(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoreProcess$", "-test.timeout=2m") //nolint:noctx,gosec // killed below
	cmd.Env = append(os.Environ(), "ANNAL_TEST_STORE_PROCESS="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if line := lines.Text(); len(line) > 7 && line[:7] == "esdb://" {
			return line, kill
		}
	}
	t.Fatal("the store didn't start")
	return "", nil
}

// TestKillMinusNine kills the store again and again while events are appended and a group works: in the end every event was
// acknowledged, or is parked, or came back from there; what was acknowledged before a durable checkpoint does not come again.
func TestKillMinusNine(t *testing.T) {
	const lives = 4
	dir, seed := t.TempDir(), rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's dice
	settled := map[uint64]bool{}             // by revision: acknowledged, or parked as far as the consumer knows
	appended, created, repeated := uint64(0), false, 0
	for life := range lives {
		last := life == lives-1
		url, kill := process(t, dir)
		c := connect(t, url)
		if !created {
			write(t, c, "s", esdb.NoStream{}, 0)
			createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) { s.CheckpointLowerBound, s.CheckpointUpperBound = 1, 5 }))
			appended, created = 1, true
		} else if err := c.ReplayParkedMessages(within(t), "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
			t.Fatal(err)
		}
		var checkpoint atomic.Int64
		checkpoint.Store(-1)
		info, err := c.GetPersistentSubscriptionInfo(within(t), "s", "g", esdb.GetPersistentSubscriptionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if at := info.Stats.LastCheckpointedEventRevision; at != nil {
			checkpoint.Store(int64(*at))
		}
		s := subscribe(t, c, "s", "g", 8)
		for range 120 {
			if !last {
				write(t, c, "s", esdb.Any{}, int(appended))
				appended++
			}
			if last && int64(len(settled)) == int64(appended) {
				break
			}
			e := next(t, s)
			r := e.Event.Event
			if e.Event.Link == nil && int64(r.EventNumber) <= checkpoint.Load() {
				t.Errorf("life %d: %d again, the checkpoint was %d", life, r.EventNumber, checkpoint.Load())
			}
			if settled[r.EventNumber] {
				repeated++
			}
			switch dice := random.IntN(10); {
			case dice == 0 && !last:
				nack(t, s, esdb.NackActionPark, e.Event)
			case dice == 1 && !last:
				nack(t, s, esdb.NackActionRetry, e.Event)
			default:
				ack(t, s, e.Event)
				settled[r.EventNumber] = true
			}
			if !last && random.IntN(100) == 0 {
				break
			}
		}
		if last {
			for int64(len(settled)) < int64(appended) { // the timeouts of next and within bound it
				e := next(t, s)
				ack(t, s, e.Event)
				settled[e.Event.Event.EventNumber] = true
			}
			break
		}
		kill()
	}
	t.Logf("%d events, %d of them came again", appended, repeated)
}

// TestAReplayThatIsInterruptedStaysParked stops the store while replayed messages are with a consumer.
func TestAReplayThatIsInterruptedStaysParked(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c := connect(t, store.URL)
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(always))
	s := subscribe(t, c, "s", "g", 3)
	nack(t, s, esdb.NackActionPark, expect(t, s, "s/0", "s/1", "s/2")...)
	until(t, c, "s", "g", parkedCount(3))
	const parked = "$persistentsubscription-s::g-parked"
	replay := func() {
		t.Helper()
		if err := c.ReplayParkedMessages(within(t), "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	replay()
	back := expect(t, s, parked+"/0", parked+"/1", parked+"/2")
	ack(t, s, back[0], back[2])
	until(t, c, "s", "g", func(i *esdb.PersistentSubscriptionInfo) bool {
		return i.Stats.TotalInFlightMessages == 1 && parkedCount(0)(i)
	})
	store.Restart()
	c = connect(t, store.URL)
	until(t, c, "s", "g", parkedCount(2)) // the one that was not answered, and the one behind it
	s = subscribe(t, c, "s", "g", 3)
	replay()
	ack(t, s, expect(t, s, parked+"/1", parked+"/2")...)
	until(t, c, "s", "g", parkedCount(0))
}

// TestTimeIsAReasonForACheckpoint: fewer than the most, at least the least, and enough time.
func TestTimeIsAReasonForACheckpoint(t *testing.T) {
	c := connect(t, servertest.Start(t))
	write(t, c, "s", esdb.NoStream{}, 0, 1, 2)
	createGroup(t, c, "s", "g", esdb.Start{}, settings(func(s *esdb.PersistentSubscriptionSettings) {
		s.CheckpointAfter, s.CheckpointLowerBound, s.CheckpointUpperBound = 100, 2, 1000
	}))
	s := subscribe(t, c, "s", "g", 3)
	begun := time.Now()
	ack(t, s, expect(t, s, "s/0", "s/1", "s/2")[:2]...)
	until(t, c, "s", "g", checkpointed(1))
	if time.Since(begun) < 100*time.Millisecond {
		t.Error("too early")
	}
}
