package server

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/annalhq/annal/eventstore/server/groups"
)

// groupSettings is what the settings of Create and Update have in common.
type groupSettings interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

func (c *groupConfig) take(s groupSettings, strategy string) {
	c.ResolveLinks, c.ExtraStatistics, c.Strategy = s.GetResolveLinks(), s.GetExtraStatistics(), strategy
	c.MaxRetries, c.MaxSubscribers = s.GetMaxRetryCount(), s.GetMaxSubscriberCount()
	c.MinCheckpoint, c.MaxCheckpoint = s.GetMinCheckpointCount(), s.GetMaxCheckpointCount()
	c.LiveBuffer, c.HistoryBuffer, c.ReadBatch = s.GetLiveBufferSize(), s.GetHistoryBufferSize(), s.GetReadBatchSize()
	c.MessageTimeout = milliseconds(s.GetMessageTimeoutMs(), s.GetMessageTimeoutTicks())
	c.CheckpointAfter = milliseconds(s.GetCheckpointAfterMs(), s.GetCheckpointAfterTicks())
}

// milliseconds reads a time that is given in milliseconds or else in ticks of 100 ns. It rounds up: 0 means something else.
func milliseconds(ms int32, ticks int64) int64 {
	if ms != 0 || ticks <= 0 {
		return int64(ms) + min(ticks, 0)
	}
	return min((ticks-1)/10_000+1, math.MaxInt32) // as much as the other form can say, and as info tells
}

// namedStrategy is the strategy of requests that give it as a number.
func namedStrategy(n int32) string {
	switch persistent.CreateReq_ConsumerStrategy(n) {
	case persistent.CreateReq_DispatchToSingle:
		return string(groups.DispatchToSingle)
	case persistent.CreateReq_RoundRobin:
		return string(groups.RoundRobin)
	case persistent.CreateReq_Pinned:
		return string(groups.Pinned)
	}
	return ""
}

// from sets where the group begins: at a place, or (nil) behind what there is.
func (c *groupConfig) from(at *uint64) {
	if at == nil {
		c.StartFrom, c.FromEnd = c.endPlace(), true
		return
	}
	c.StartFrom, c.Next = c.place(*at), *at
}

var startPlace = uint64(0)

// oldForm reads requests of clients that know no stream_option: a stream, and a revision among the settings.
func (c *groupConfig) oldForm(stream *shared.StreamIdentifier, revision uint64) error {
	if stream == nil {
		return invalid("stream_option is missing: name a stream, or ask for $all")
	}
	if err := c.named(stream); err != nil {
		return err
	}
	c.from(&revision)
	if revision == math.MaxUint64 {
		c.from(nil)
	}
	return nil
}

// named sets the stream. $all is asked for in another way.
func (c *groupConfig) named(stream *shared.StreamIdentifier) error {
	if c.Stream = string(stream.GetStreamName()); c.ofAll() {
		return invalid("$all is no stream: ask for it with the option all")
	}
	return nil
}

// parseCreate reads both forms of the request.
func parseCreate(req *persistent.CreateReq) (*groupConfig, error) {
	o := req.GetOptions()
	s := o.GetSettings()
	if s == nil {
		return nil, invalid("the group needs settings")
	}
	c := &groupConfig{groupKey: groupKey{Group: o.GetGroupName()}}
	var err error
	switch source := o.GetStreamOption().(type) {
	case *persistent.CreateReq_Options_Stream:
		if err := c.named(source.Stream.GetStreamIdentifier()); err != nil {
			return nil, err
		}
		switch r := source.Stream.GetRevisionOption().(type) {
		case *persistent.CreateReq_StreamOptions_Revision:
			c.from(&r.Revision)
		case *persistent.CreateReq_StreamOptions_Start:
			c.from(&startPlace)
		case *persistent.CreateReq_StreamOptions_End:
			c.from(nil)
		default:
			return nil, invalid("revision_option is missing")
		}
	case *persistent.CreateReq_Options_All:
		if err := c.parseAll(source.All); err != nil {
			return nil, err
		}
	default:
		err = c.oldForm(o.GetStreamIdentifier(), s.GetRevision()) //nolint:staticcheck // deprecated, and what Node's client sends
	}
	strategy := s.GetConsumerStrategy()
	if strategy == "" {
		strategy = namedStrategy(int32(s.GetNamedConsumerStrategy())) //nolint:staticcheck // deprecated, and what Go's client sends
	}
	c.take(s, strategy)
	return c, err
}

func (c *groupConfig) parseAll(o *persistent.CreateReq_AllOptions) error {
	c.Stream = allStream
	switch p := o.GetAllOption().(type) {
	case *persistent.CreateReq_AllOptions_Position:
		at := p.Position.GetCommitPosition()
		c.from(&at)
	case *persistent.CreateReq_AllOptions_Start:
		c.from(&startPlace)
	case *persistent.CreateReq_AllOptions_End:
		c.from(nil)
	default:
		return invalid("all_option is missing")
	}
	f := o.GetFilter()
	if f == nil {
		return nil
	}
	switch by := f.GetFilter().(type) {
	case *persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier:
		c.Filter = &groupFilter{Regex: by.StreamIdentifier.GetRegex(), Prefixes: by.StreamIdentifier.GetPrefix()}
	case *persistent.CreateReq_AllOptions_FilterOptions_EventType:
		c.Filter = &groupFilter{ByType: true, Regex: by.EventType.GetRegex(), Prefixes: by.EventType.GetPrefix()}
	default:
		return invalid("the filter says neither stream_identifier nor event_type")
	}
	return nil
}

// parseUpdate reads both forms of the request. A filter can't be updated.
func parseUpdate(req *persistent.UpdateReq) (*groupConfig, error) {
	o := req.GetOptions()
	s := o.GetSettings()
	if s == nil {
		return nil, invalid("the group needs settings")
	}
	c := &groupConfig{groupKey: groupKey{Group: o.GetGroupName()}}
	var err error
	switch source := o.GetStreamOption().(type) {
	case *persistent.UpdateReq_Options_Stream:
		if err := c.named(source.Stream.GetStreamIdentifier()); err != nil {
			return nil, err
		}
		switch r := source.Stream.GetRevisionOption().(type) {
		case *persistent.UpdateReq_StreamOptions_Revision:
			c.from(&r.Revision)
		case *persistent.UpdateReq_StreamOptions_Start:
			c.from(&startPlace)
		case *persistent.UpdateReq_StreamOptions_End:
			c.from(nil)
		default:
			return nil, invalid("revision_option is missing")
		}
	case *persistent.UpdateReq_Options_All:
		c.Stream = allStream
		switch p := source.All.GetAllOption().(type) {
		case *persistent.UpdateReq_AllOptions_Position:
			at := p.Position.GetCommitPosition()
			c.from(&at)
		case *persistent.UpdateReq_AllOptions_Start:
			c.from(&startPlace)
		case *persistent.UpdateReq_AllOptions_End:
			c.from(nil)
		default:
			return nil, invalid("all_option is missing")
		}
	default:
		err = c.oldForm(o.GetStreamIdentifier(), s.GetRevision()) //nolint:staticcheck // deprecated, and what Node's client sends
	}
	c.take(s, namedStrategy(int32(s.GetNamedConsumerStrategy())))
	return c, err
}

// sourceOption is how Read, Delete, GetInfo and ReplayParked name a source.
type sourceOption interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetAll() *shared.Empty
	GetGroupName() string
}

func parseKey(o sourceOption) (groupKey, error) {
	k := groupKey{Stream: string(o.GetStreamIdentifier().GetStreamName()), Group: o.GetGroupName()}
	if o.GetAll() != nil {
		k.Stream = allStream
	} else if o.GetStreamIdentifier() == nil {
		return k, invalid("stream_option is missing: name a stream, or ask for $all")
	}
	return k, k.check() // also of groups that aren't there: a refusal names them
}

// parseUUIDs reads the ids of an answer.
func parseUUIDs(all []*shared.UUID) ([]groups.ID, error) {
	ids := make([]groups.ID, 0, len(all))
	for _, u := range all {
		id, ok := parseID(u)
		if !ok && u.GetValue() == nil {
			return nil, invalid("an answer names an event by no id")
		}
		ids = append(ids, groups.ID(id))
	}
	return ids, nil
}
