// Package groups is the state of a persistent subscription: who has which message, what is to be sent again, what is parked, and up
// to where everything is settled. It is a pure state machine: no wire, no log, no clock. Time is an argument, and what has to
// be done in the world is returned as Effects.
//
// A message is a Ref: the event's id, by which consumers answer, and its place in the source (a revision, or a position of
// the whole log). Payloads are not kept: whoever sends a message loads it from the log, so memory doesn't grow with their size.
//
//	Offer --> waiting --> flying --+-- Ack, Skip, Stop ----------------------> done
//	             ^          |      +-- Park, or one retry too many --> parking --> done (when stored)
//	             |          v
//	             |       retrying <-- Retry, no answer in time, consumer left
//	             |          |
//	             +----------+ (sent before what waits, in the order of the source)
//
// It keeps these promises:
//
//   - Every message offered is acknowledged, skipped or parked; nothing is forgotten. After a crash everything behind the last
//     checkpoint is offered again: at least once.
//   - A consumer never has more messages than its buffer holds.
//   - The checkpoint is below every message that waits, flies, is to be sent again or is being parked, and never goes back.
//   - Pinned strategies keep a pin (a stream, a correlation) at one consumer until that leaves, and in order as long as
//     nothing is sent again.
//   - Two messages with the same id never fly at once: an answer always means one of them.
//   - What is replayed from the parked stream leaves that stream when it is settled, not when it is read: a crash parks it again.
//
// Inputs only note what happened; Advance then hands out and says what to store. A Group is not safe for concurrent use; its
// owner is the goroutine in eventstore/server that also performs the effects and reports how they went (Parked,
// Checkpointed, Truncated). If storing fails, it is tried again at the next Tick; meanwhile the checkpoint stands still.
package groups

import (
	"time"
)

// Bounds of memory, whatever the settings and the consumers say.
const (
	MaxBuffer      = 8192    // messages read ahead
	MaxInFlight    = 1 << 17 // messages one consumer may hold
	MaxOutstanding = 1 << 18 // messages all consumers together may hold, or have left to be sent again
)

// Settings is how a group behaves.
type Settings struct {
	Strategy        Strategy
	MessageTimeout  time.Duration // how long a consumer may take to answer; 0: for ever
	MaxRetries      int32         // how often a message is sent again before it is parked
	MinCheckpoint   uint64        // settled events that are worth a checkpoint when its time has come
	MaxCheckpoint   uint64        // settled events that are worth one at once; 0 means 1
	CheckpointAfter time.Duration // time between two; 0: time is no reason
	MaxConsumers    int           // 0: any number
	Buffer          int           // messages read ahead, at most MaxBuffer
	Batch           int           // messages read at a time
}

// Consumer is the owner's number for a consumer; never used twice in a group.
type Consumer uint64

// ID is an event's id: what a consumer answers with.
type ID [16]byte

// Ref names a message.
type Ref struct {
	ID     ID
	At     uint64 // place in the source; of a replayed message: its revision in the parked stream
	Pin    uint64 // what pinned strategies keep together, hashed
	Replay bool   // comes from the parked stream
}

// Delivery is a message for a consumer.
type Delivery struct {
	Ref
	To      Consumer
	Retries int32 // how often it was sent before
}

// Parking is a message to be put into the parked stream.
type Parking struct {
	Ref
	Reason string
}

// Effects is what the owner has to do. Its slices are valid until the next Advance.
type Effects struct {
	Deliveries []Delivery
	Parkings   []Parking // answer with Parked

	Save       bool // store Checkpoint; answer with Checkpointed
	Checkpoint uint64

	Truncate bool // hide everything below Below in the parked stream; answer with Truncated
	Below    uint64
}

// Start is where a group begins, or goes on.
type Start struct {
	Next       uint64 // first place of the source to be offered
	Checkpoint uint64 // place before which everything is settled, if Saved
	Saved      bool
}

// Group is the state of one group.
type Group struct {
	set       Settings
	strategy  strategy
	consumers []*consumer // in the order in which they joined
	free      int         // free slots of all consumers together

	buffer  queue           // waiting
	retries queue           // retrying
	open    map[ID]*message // sent and not done: flying, retrying, parking
	flying  int

	unsettled  window // messages of the source that are not done
	considered mark   // how far the source has been looked at
	saved      mark   // the last checkpoint
	saving     mark   // the one being stored, if isSaving
	isSaving   bool
	savedAt    time.Time
	ticked     bool // since the last Advance: time may be a reason for a checkpoint
	flush      bool // any progress is a reason

	parks   []*message // to be handed out
	unstore []*message // could not be parked; again at the next tick
	blocked bool       // storing the checkpoint failed; not before the next tick

	replay replay
	out    Effects
}

// New returns a group without consumers.
func New(set Settings, from Start, now time.Time) *Group {
	set.Buffer = min(max(set.Buffer, 1), MaxBuffer)
	set.Batch = min(max(set.Batch, 1), set.Buffer)
	set.MaxCheckpoint = max(set.MaxCheckpoint, 1)
	g := &Group{set: set, strategy: newStrategy(set.Strategy), open: map[ID]*message{}, savedAt: now}
	if from.Saved {
		g.considered = mark{at: from.Checkpoint, known: true}
		g.saved = g.considered
	}
	return g
}

// Room returns how many messages of the source may be offered now. It is 0 while nobody is there to take them.
func (g *Group) Room() int {
	room := g.set.Buffer - g.buffer.len()
	if len(g.consumers) == 0 || room < g.set.Batch {
		return 0
	}
	return room
}

// Offer adds the next message of the source. REQUIRES: it is behind everything offered or passed before.
func (g *Group) Offer(r Ref) {
	m := &message{Ref: r, before: g.considered}
	g.considered = mark{at: r.At, count: g.considered.count + 1, known: true}
	g.buffer.push(m)
	g.unsettled.push(m)
}

// Pass says that the event at this place of the source is no message of the group. One that is not counted is no reason for a
// checkpoint: the group's own checkpoints in the log must not be.
func (g *Group) Pass(at uint64, counted bool) {
	g.considered.at, g.considered.known = at, true
	if counted {
		g.considered.count++
	}
}

// Quiet reports whether a group needs no ticks: nobody is there, and nothing is left to be stored.
func (g *Group) Quiet() bool {
	return len(g.consumers) == 0 && len(g.parks) == 0 && len(g.unstore) == 0 && !g.isSaving
}

// Advance hands out what can be handed out, and decides what is to be stored.
func (g *Group) Advance(now time.Time) Effects {
	g.out = Effects{Deliveries: g.out.Deliveries[:0], Parkings: g.out.Parkings[:0]}
	g.dispatch(now)
	for _, m := range g.parks {
		g.out.Parkings = append(g.out.Parkings, Parking{Ref: m.Ref, Reason: m.reason})
	}
	g.parks = g.parks[:0]
	g.checkpoint(now)
	g.replay.truncate(&g.out, g.ticked || g.flush)
	g.ticked, g.flush = false, false
	return g.out
}

// Stats is what can be seen from outside.
type Stats struct {
	Waiting    int    // read, not sent yet
	Retrying   int    // to be sent again
	InFlight   int    // with consumers
	Checkpoint uint64 // if Saved
	Saved      bool
	Considered uint64 // last place of the source that was looked at, if Begun
	Begun      bool
	Replaying  uint64 // revision of the parked stream up to which, exclusive, messages were taken for a replay
	Consumers  []ConsumerStats
}

// ConsumerStats is one consumer, in the order in which they joined.
type ConsumerStats struct {
	Consumer Consumer
	Size     int
	InFlight int
}

// Stats counts.
func (g *Group) Stats() Stats {
	s := Stats{
		Waiting: g.buffer.len(), Retrying: g.retries.len(), InFlight: g.flying,
		Checkpoint: g.saved.at, Saved: g.saved.known, Considered: g.considered.at, Begun: g.considered.known,
		Replaying: g.replay.to,
	}
	for _, c := range g.consumers {
		s.Consumers = append(s.Consumers, ConsumerStats{Consumer: c.id, Size: c.size, InFlight: c.held})
	}
	return s
}
