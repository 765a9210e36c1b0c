package groups

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var begun = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func id(n int) ID { return ID{15: byte(n), 14: byte(n >> 8), 13: byte(n >> 16), 0: 1} }

func idOf(r Ref) int { return int(r.ID[15]) | int(r.ID[14])<<8 | int(r.ID[13])<<16 }

// script runs a group and writes down what it does: "2>a" message 2 to consumer a (with +n: the nth retry), "park 2", "save 1", "hide 3".
type script struct {
	g   *Group
	now time.Time
	log []string
}

func play(set Settings, from Start) *script {
	return &script{g: New(set, from, begun), now: begun}
}

func (s *script) join(size int, names ...string) *script {
	for _, n := range names {
		if err := s.g.Join(Consumer(n[0]), size); err != nil {
			s.log = append(s.log, "refused "+n)
		}
	}
	return s.advance()
}

func (s *script) leave(name string) *script { s.g.Leave(Consumer(name[0])); return s.advance() }

func (s *script) offer(ns ...int) *script {
	for _, n := range ns {
		s.g.Offer(Ref{ID: id(n), At: uint64(n), Pin: uint64(n)})
	}
	return s.advance()
}

func (s *script) pinned(pin uint64, ns ...int) *script {
	for _, n := range ns {
		s.g.Offer(Ref{ID: id(n), At: uint64(n), Pin: pin})
	}
	return s.advance()
}

func ids(ns []int) (out []ID) {
	for _, n := range ns {
		out = append(out, id(n))
	}
	return out
}

func (s *script) ack(ns ...int) *script { s.g.Ack(ids(ns)...); return s.advance() }

func (s *script) nack(a Action, ns ...int) *script {
	s.g.Nack(a, "because", ids(ns)...)
	return s.advance()
}

func (s *script) parked(ok bool, ns ...int) *script { s.g.Parked(ok, ids(ns)...); return s.advance() }

func (s *script) after(d time.Duration) *script {
	s.now = s.now.Add(d)
	s.g.Tick(s.now)
	return s.advance()
}

func (s *script) advance() *script {
	fx := s.g.Advance(s.now)
	for _, d := range fx.Deliveries {
		line := fmt.Sprintf("%d>%c", idOf(d.Ref), rune(d.To))
		if d.Retries > 0 {
			line += fmt.Sprintf("+%d", d.Retries)
		}
		s.log = append(s.log, line)
	}
	for _, p := range fx.Parkings {
		s.log = append(s.log, fmt.Sprintf("park %d", idOf(p.Ref)))
	}
	if fx.Save {
		s.log = append(s.log, fmt.Sprintf("save %d", fx.Checkpoint))
	}
	if fx.Truncate {
		s.log = append(s.log, fmt.Sprintf("hide %d", fx.Below))
	}
	return s
}

func (s *script) saved(ok bool) *script { s.g.Checkpointed(ok); return s.advance() }

// said checks the log and empties it.
func (s *script) said(t *testing.T, want string) *script {
	t.Helper()
	if diff := cmp.Diff(want, strings.Join(s.log, " ")); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	s.log = nil
	return s
}

// plain has no checkpoints by count or time within a short script.
func plain(strategy Strategy) Settings {
	return Settings{Strategy: strategy, MaxRetries: 2, Buffer: 100, Batch: 10, MinCheckpoint: 10, MaxCheckpoint: 1000, MessageTimeout: 30 * time.Second}
}

func TestRoundRobinGoesRoundAndSkipsTheFull(t *testing.T) {
	play(plain(RoundRobin), Start{}).join(2, "a", "b").offer(1, 2, 3, 4, 5).said(t, "1>a 2>b 3>a 4>b").
		ack(3).said(t, "5>a").offer(6).said(t, "").ack(2, 4).said(t, "6>b").
		leave("a").said(t, "1>b+1").ack(1).said(t, "5>b+1")
}

func TestDispatchToSingleFillsOneFirst(t *testing.T) {
	play(plain(DispatchToSingle), Start{}).join(2, "a", "b").offer(1, 2, 3).said(t, "1>a 2>a 3>b").
		ack(1).offer(4, 5).said(t, "4>b 5>a").ack(3, 4, 2, 5).offer(6, 7, 8).said(t, "6>a 7>a 8>b")
}

func TestPinnedKeepsAStreamAndLetsOthersPass(t *testing.T) {
	s := play(plain(Pinned), Start{}).join(1, "a", "b").pinned(7, 1).pinned(8, 2).said(t, "1>a 2>b")
	s.pinned(7, 3).pinned(8, 4).pinned(7, 5).said(t, "").ack(2).said(t, "4>b").ack(1).said(t, "3>a")
	s.join(1, "c").pinned(9, 6).said(t, "6>c").leave("a").said(t, "").ack(4).said(t, "3>b+1").ack(3).said(t, "5>b")
}

func TestRetriesGoFirstInOrderAndAreParkedInTheEnd(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(3, "a").offer(1, 2, 3, 4, 5).said(t, "1>a 2>a 3>a")
	s.nack(Retry, 3, 1).said(t, "1>a+1 3>a+1").nack(Unknown, 1).said(t, "1>a+2").nack(Retry, 1).said(t, "4>a park 1")
	s.parked(true, 1).ack(2).said(t, "5>a").nack(Park, 3).said(t, "park 3").nack(Skip, 4).nack(Stop, 5).said(t, "")
	if got := s.g.Stats(); got.InFlight != 0 || got.Retrying != 0 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
}

func TestNoAnswerInTimeIsARetry(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(1, "a").offer(1, 2).said(t, "1>a")
	s.after(29*time.Second).said(t, "").after(time.Second).said(t, "1>a+1").after(30*time.Second).said(t, "1>a+2")
	s.after(30*time.Second).said(t, "2>a park 1")

	forever := plain(RoundRobin)
	forever.MessageTimeout = 0
	play(forever, Start{}).join(1, "a").offer(1, 2).after(1000*time.Hour).said(t, "1>a")
}

func TestALateAnswerCounts(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(1, "a").offer(1, 2).said(t, "1>a").leave("a").ack(1).join(1, "b").said(t, "2>b")
	s.leave("b").nack(Park, 2).said(t, "park 2").parked(true, 2).join(1, "c").offer(3).said(t, "3>c")
}

func TestLeavingIsNeverAReasonToPark(t *testing.T) {
	set := plain(RoundRobin)
	set.MaxRetries = 0
	s := play(set, Start{}).join(3, "a").offer(1, 2, 3).said(t, "1>a 2>a 3>a").leave("a").said(t, "").join(2, "b").said(t, "1>b+1 2>b+1")
	s.leave("b").join(9, "c").said(t, "1>c+2 2>c+2 3>c+1").nack(Retry, 1).said(t, "park 1")
}

func TestTwoEventsWithOneIDFlyOneAfterTheOther(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(9, "a")
	s.g.Offer(Ref{ID: id(1), At: 1})
	s.g.Offer(Ref{ID: id(1), At: 2})
	s.offer(3).said(t, "1>a 3>a").nack(Retry, 1).said(t, "1>a+1").ack(1).said(t, "1>a").ack(1, 1)
	if got := s.g.reached().at; got != 2 {
		t.Errorf("settled up to %d: the third is in flight", got)
	}

	p := play(plain(Pinned), Start{}).join(9, "a")
	p.g.Offer(Ref{ID: id(1), At: 1, Pin: 5})
	p.g.Offer(Ref{ID: id(1), At: 2, Pin: 5})
	p.pinned(5, 3).pinned(6, 4).said(t, "1>a 4>a").ack(1).said(t, "1>a 3>a")
}

func TestTooManyConsumers(t *testing.T) {
	set := plain(RoundRobin)
	set.MaxConsumers = 2
	play(set, Start{}).join(1, "a", "b", "c").said(t, "refused c").leave("a").join(1, "c", "d").said(t, "refused d")
}

func TestCheckpointsByCountAndTime(t *testing.T) {
	set := plain(RoundRobin)
	set.MinCheckpoint, set.MaxCheckpoint, set.CheckpointAfter = 2, 3, 2*time.Second
	s := play(set, Start{}).join(9, "a").offer(1, 2, 3, 4, 5)
	s.log = nil
	s.ack(1, 3, 4).said(t, "").after(3*time.Second).said(t, "")
	s.ack(2).said(t, "save 4").ack(5).saved(true).said(t, "")
	s.after(5*time.Second).said(t, "") // one is less than the least
	s.offer(6).ack(6).said(t, "6>a").after(time.Second).said(t, "save 6").saved(false).said(t, "")
	s.after(time.Second).said(t, "").after(time.Second).said(t, "save 6").saved(true)

	set.CheckpointAfter = 0
	play(set, Start{}).join(9, "a").offer(1, 2).ack(1, 2).after(time.Hour).said(t, "1>a 2>a")
}

func TestWhatIsParkedOrToBeSentAgainHoldsTheCheckpoint(t *testing.T) {
	set := plain(RoundRobin)
	set.MaxCheckpoint = 1
	s := play(set, Start{}).join(1, "a").offer(5, 6, 7).said(t, "5>a").nack(Retry, 5).ack(6, 7).said(t, "5>a+1")
	s.nack(Park, 5).said(t, "6>a park 5").ack(6).said(t, "7>a").parked(false, 5).said(t, "").after(time.Second).said(t, "park 5")
	s.parked(true, 5).said(t, "save 6").saved(true).ack(7).said(t, "save 7")
}

func TestPassedEventsMoveTheCheckpoint(t *testing.T) {
	set := plain(RoundRobin)
	set.MaxCheckpoint = 3
	s := play(set, Start{Next: 8, Checkpoint: 7, Saved: true}).join(1, "a")
	s.g.Pass(8, true)
	s.g.Pass(9, false)
	s.offer(10).said(t, "10>a")
	s.g.Pass(11, true)
	s.ack(10).said(t, "save 11").saved(true)
	for at := range uint64(100) {
		s.g.Pass(12+at, false) // nothing but its own housekeeping: no reason for more of it
	}
	s.advance().said(t, "")
	s.g.Flush()
	s.advance().said(t, "")
	s.g.Pass(200, true)
	s.g.Flush()
	s.advance().said(t, "save 200")
}

func TestReplay(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(2, "a").offer(1)
	s.g.Replay(4, 7)
	from, room := s.g.NextReplay()
	if from != 4 || room != 3 {
		t.Fatal(from, room)
	}
	s.g.OfferReplay(Ref{ID: id(104), At: 4})
	s.g.PassReplay(5)
	s.g.OfferReplay(Ref{ID: id(106), At: 6})
	if _, room := s.g.NextReplay(); room != 0 {
		t.Error(room)
	}
	s.offer(2).said(t, "1>a 104>a").nack(Retry, 1).said(t, "1>a+1").ack(1).said(t, "106>a").ack(106).said(t, "2>a")
	s.after(time.Second).said(t, "").ack(104).said(t, "hide 7")
	s.g.Truncated(true)
	s.g.Replay(0, 7)
	s.after(time.Second).said(t, "")

	s.g.Replay(7, 9)
	s.g.OfferReplay(Ref{ID: id(107), At: 7})
	s.g.OfferReplay(Ref{ID: id(108), At: 8})
	s.advance().said(t, "107>a").ack(107).said(t, "108>a").after(time.Second).said(t, "hide 8")
	s.g.Truncated(false)
	s.nack(Park, 108).said(t, "park 108").parked(true, 108).said(t, "").after(time.Second).said(t, "hide 9")
}

func TestRoomIsBoundedAndNobodyNeedsNone(t *testing.T) {
	set := plain(RoundRobin)
	set.Buffer, set.Batch = 10, 4
	s := play(set, Start{})
	if s.g.Room() != 0 {
		t.Error("nobody is there")
	}
	s.join(1, "a")
	if s.g.Room() != 10 {
		t.Error(s.g.Room())
	}
	s.offer(1, 2, 3, 4, 5, 6, 7)
	if s.g.Room() != 4 {
		t.Error(s.g.Room())
	}
	s.offer(8)
	if s.g.Room() != 0 {
		t.Error("less than a batch")
	}
}

func TestTheWindowForgetsWhatIsDone(t *testing.T) {
	s := play(plain(RoundRobin), Start{}).join(5, "a")
	for n := 1; n < 20_000; n++ {
		s.g.Offer(Ref{ID: id(n), At: uint64(n)})
		s.g.Advance(s.now)
		if n > 1 {
			s.g.Ack(id(n))
		}
	}
	if n := len(s.g.unsettled.items); n > 200 {
		t.Errorf("%d messages in memory for one that is not answered", n)
	}
	if at := s.g.reached(); at.known {
		t.Errorf("settled up to %d although the first is in flight", at.at)
	}
}

func TestStrategyNames(t *testing.T) {
	for _, name := range []string{"RoundRobin", "DispatchToSingle", "Pinned", "PinnedByCorrelation"} {
		if s, ok := ParseStrategy(name); !ok || string(s) != name {
			t.Errorf("%s: %v %v", name, s, ok)
		}
	}
	if _, ok := ParseStrategy("roundrobin"); ok {
		t.Error("names are exact")
	}
}

func TestQueueScans(t *testing.T) {
	for mask := range 64 { // which of six messages are taken; the rest stays, in order
		q := &queue{}
		var want []uint64
		for n := range 6 {
			q.push(&message{Ref: Ref{At: uint64(n)}})
			if mask>>n&1 == 0 || n >= 5 {
				want = append(want, uint64(n))
			}
		}
		q.scan(func(m *message) verdict {
			switch {
			case m.At == 5:
				return stop
			case mask>>m.At&1 == 1:
				return take
			}
			return keep
		})
		var got []uint64
		for _, m := range q.items[q.head:] {
			got = append(got, m.At)
		}
		if !slices.Equal(got, want) {
			t.Errorf("mask %b: %v, want %v", mask, got, want)
		}
	}
}
