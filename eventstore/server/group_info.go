package server

import (
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"github.com/annalhq/annal/eventstore/server/groups"
)

// meter counts, and knows how fast of late.
type meter struct {
	total int64
	since int64 // total at the last sample
	at    time.Time
	rate  float64 // a second, between the last two samples
}

func (m *meter) sample(now time.Time) {
	if elapsed := now.Sub(m.at).Seconds(); !m.at.IsZero() && elapsed > 0 {
		m.rate = float64(m.total-m.since) / elapsed
	}
	m.at, m.since = now, m.total
}

// perSecond is the rate, 0 if nobody has measured lately.
func (m *meter) perSecond(now time.Time) int32 {
	if now.Sub(m.at) > 2*groupTick {
		return 0
	}
	return int32(min(m.rate, math.MaxInt32))
}

// Statuses of a group, in the real server's words.
const (
	statusLive   = "Live"   // whoever connects gets what is appended
	statusBehind = "Behind" // there is more to be read
)

// info describes the group.
func (l *groupLoop) info() (*persistent.SubscriptionInfo, error) {
	s := l.machine.Stats()
	known, next, err := l.source.last()
	if err != nil {
		return nil, err
	}
	from, to, err := l.source.parkedBounds()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := l.cfg
	i := &persistent.SubscriptionInfo{
		EventSource: c.Stream, GroupName: c.Group, Status: statusLive,
		AveragePerSecond: l.delivered.perSecond(now), TotalItems: l.delivered.total, CountSinceLastMeasurement: l.delivered.total - l.delivered.since,
		LastKnownEventPosition: known, StartFrom: c.StartFrom,
		ResolveLinkTos: c.ResolveLinks, ExtraStatistics: c.ExtraStatistics, MaxRetryCount: c.MaxRetries,
		MessageTimeoutMilliseconds: clamp(c.MessageTimeout), CheckPointAfterMilliseconds: clamp(c.CheckpointAfter),
		LiveBufferSize: c.LiveBuffer, BufferSize: c.HistoryBuffer, ReadBatchSize: c.ReadBatch,
		MinCheckPointCount: c.MinCheckpoint, MaxCheckPointCount: c.MaxCheckpoint, MaxSubscriberCount: c.MaxSubscribers,
		NamedConsumerStrategy: c.Strategy,
		ReadBufferCount:       clamp(int64(s.Waiting)), RetryBufferCount: clamp(int64(s.Retrying)),
		TotalInFlightMessages: clamp(int64(s.InFlight)), OutstandingMessagesCount: clamp(int64(s.InFlight)),
	}
	if next > l.source.next {
		i.Status = statusBehind
	}
	if s.Saved {
		i.LastCheckpointedEventPosition = c.place(s.Checkpoint)
	}
	if from = max(from, s.Replaying); to > from {
		i.ParkedMessageCount = int64(to - from)
	}
	for _, held := range s.Consumers {
		i.Connections = append(i.Connections, l.connection(held, now))
	}
	return i, nil
}

func (l *groupLoop) connection(held groups.ConsumerStats, now time.Time) *persistent.SubscriptionInfo_ConnectionInfo {
	c := l.consumers[held.Consumer]
	return &persistent.SubscriptionInfo_ConnectionInfo{
		From: c.from, Username: c.user, ConnectionName: c.name,
		AverageItemsPerSecond: c.sent.perSecond(now), TotalItems: c.sent.total, CountSinceLastMeasurement: c.sent.total - c.sent.since,
		AvailableSlots: clamp(int64(held.Size - held.InFlight)), InFlightMessages: clamp(int64(held.InFlight)),
	}
}

func clamp(n int64) int32 { return int32(min(n, math.MaxInt32)) }

// replay asks for the parked messages below a revision, or (nil) for all.
func (l *groupLoop) replay(stop *int64) error {
	from, to, err := l.source.parkedBounds()
	if err != nil {
		return err
	}
	if stop != nil {
		to = min(to, uint64(*stop))
	}
	if to > from {
		l.machine.Replay(from, to)
	}
	return nil
}
