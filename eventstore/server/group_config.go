package server

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

// allStream is how the protocol calls the whole log where a stream's name is expected.
const allStream = "$all"

// groupKey names a group: groups of different streams may have the same name.
type groupKey struct {
	Stream string `json:"stream"` // $all: the whole log
	Group  string `json:"group"`
}

// String is the name that the real server gives a group.
func (k groupKey) String() string { return k.Stream + "::" + k.Group }

func (k groupKey) ofAll() bool { return k.Stream == allStream }

func (k groupKey) checkpoints() string {
	return "$persistentsubscription-" + k.String() + "-checkpoint"
}

func (k groupKey) parked() string { return "$persistentsubscription-" + k.String() + "-parked" }

// check refuses what can't be a group's name.
func (k groupKey) check() error {
	if k.Group == "" {
		return invalid("the group has no name")
	}
	if !k.ofAll() {
		if err := engine.CheckStream(k.Stream); err != nil {
			return invalid(err.Error())
		}
	}
	if err := engine.CheckStream(k.checkpoints()); err != nil {
		return invalid("the names of stream and group are too long together, or not UTF-8: the group's own streams are named after them")
	}
	return nil
}

// groupConfig is a group as it was created or last updated, and as it is kept in the log.
type groupConfig struct {
	groupKey
	StartFrom       string       `json:"startFrom"` // as it was asked for, in the protocol's notation
	Next            uint64       `json:"next"`      // the first revision or position, if there is no checkpoint
	FromEnd         bool         `json:"fromEnd,omitempty"`
	Filter          *groupFilter `json:"filter,omitempty"`
	ResolveLinks    bool         `json:"resolveLinks"`
	ExtraStatistics bool         `json:"extraStatistics"`
	Strategy        string       `json:"strategy"`
	MessageTimeout  int64        `json:"messageTimeoutMs"`
	CheckpointAfter int64        `json:"checkpointAfterMs"`
	MinCheckpoint   int32        `json:"minCheckpointCount"`
	MaxCheckpoint   int32        `json:"maxCheckpointCount"`
	MaxRetries      int32        `json:"maxRetryCount"`
	MaxSubscribers  int32        `json:"maxSubscriberCount"`
	LiveBuffer      int32        `json:"liveBufferSize"`
	HistoryBuffer   int32        `json:"historyBufferSize"`
	ReadBatch       int32        `json:"readBatchSize"`
}

// groupFilter is what selects events of $all.
type groupFilter struct {
	ByType   bool     `json:"byType"`
	Regex    string   `json:"regex,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// compile returns the filter as reads use it. A nil receiver has none.
func (f *groupFilter) compile() (*filter, error) {
	if f == nil {
		return nil, nil //nolint:nilnil // no filter is a valid filter
	}
	x := &streams.ReadReq_Options_FilterOptions_Expression{Regex: f.Regex, Prefix: f.Prefixes}
	o := &streams.ReadReq_Options_FilterOptions{Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: x}}
	if f.ByType {
		o.Filter = &streams.ReadReq_Options_FilterOptions_EventType{EventType: x}
	}
	return parseFilter(o, false)
}

// reason returns why the settings don't go together, "" if they do.
func (c *groupConfig) reason() string {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"message_timeout", c.MessageTimeout}, {"checkpoint_after", c.CheckpointAfter}, {"max_retry_count", int64(c.MaxRetries)},
		{"min_checkpoint_count", int64(c.MinCheckpoint)}, {"max_checkpoint_count", int64(c.MaxCheckpoint)},
		{"max_subscriber_count", int64(c.MaxSubscribers)}, {"live_buffer_size", int64(c.LiveBuffer)},
		{"history_buffer_size", int64(c.HistoryBuffer)}, {"read_batch_size", int64(c.ReadBatch)},
	} {
		if n.value < 0 {
			return n.name + " can't be negative"
		}
	}
	switch _, known := groups.ParseStrategy(c.Strategy); {
	case !known:
		return fmt.Sprintf("there is no consumer strategy %q; use RoundRobin, DispatchToSingle, Pinned or PinnedByCorrelation", c.Strategy)
	case c.ReadBatch == 0:
		return "read_batch_size must be at least 1"
	case c.ReadBatch >= c.HistoryBuffer:
		return "read_batch_size must be less than history_buffer_size"
	}
	return ""
}

// settings returns how the group's state machine is to behave.
func (c *groupConfig) settings() groups.Settings {
	return groups.Settings{
		Strategy:        groups.Strategy(c.Strategy),
		MessageTimeout:  time.Duration(c.MessageTimeout) * time.Millisecond,
		MaxRetries:      c.MaxRetries,
		MinCheckpoint:   uint64(c.MinCheckpoint),
		MaxCheckpoint:   uint64(c.MaxCheckpoint),
		CheckpointAfter: time.Duration(c.CheckpointAfter) * time.Millisecond,
		MaxConsumers:    int(c.MaxSubscribers),
		Buffer:          int(c.HistoryBuffer),
		Batch:           int(c.ReadBatch),
	}
}

// place writes a revision or position of the source as the protocol does in texts.
func (k groupKey) place(at uint64) string {
	n := strconv.FormatUint(at, 10)
	if k.ofAll() {
		return "C:" + n + "/P:" + n
	}
	return n
}

// endPlace is how the protocol writes the end of the source.
func (k groupKey) endPlace() string {
	if k.ofAll() {
		return "C:-1/P:-1"
	}
	return "-1"
}

// parsePlace reads what place has written.
func (k groupKey) parsePlace(text string) (at uint64, ok bool) {
	if !k.ofAll() {
		n, err := strconv.ParseUint(text, 10, 64)
		return n, err == nil
	}
	var commit, prepare uint64
	n, err := fmt.Sscanf(text, "C:%d/P:%d", &commit, &prepare)
	return commit, err == nil && n == 2
}

// Types of the events in which groups are kept. One event is one change, so a change costs the same however many groups there are.
const (
	groupsStream     = "$persistentSubscriptionConfig"
	groupSetType     = "$PersistentGroupSet"     // a group was created or updated: groupConfig
	groupDeletedType = "$PersistentGroupDeleted" // groupKey
)

// event makes an event of a change.
func groupEvent(kind string, change any) (engine.Event, error) {
	data, err := json.Marshal(change)
	return engine.Event{ID: newEventID(), Type: kind, JSON: true, Data: data}, err
}
