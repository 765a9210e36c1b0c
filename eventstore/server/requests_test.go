package server_test

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

// A reading is a request to read $all from its start, for tests to bend.
type reading = streams.ReadReq_Options

// request makes a read of $all from its start, bent.
func request(bend ...func(*reading)) *streams.ReadReq {
	o := &reading{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		CountOption:  &streams.ReadReq_Options_Count{Count: 1},
	}
	for _, b := range bend {
		b(o)
	}
	return &streams.ReadReq{Options: o}
}

func subscribing(o *reading) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

func counting(n uint64) func(*reading) {
	return func(o *reading) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
}

func ofStream(name string) func(*reading) {
	return func(o *reading) {
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(name)}, RevisionOption: &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}}}
	}
}

func fromRevision(name string, r uint64) func(*reading) {
	return func(o *reading) {
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(name)}, RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: r}}}
	}
}

func fromPosition(commit, prepare uint64) func(*reading) {
	return func(o *reading) {
		o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Position{
			Position: &streams.ReadReq_Options_Position{CommitPosition: commit, PreparePosition: prepare}}}}
	}
}

func matching(regex string, prefixes ...string) func(*reading) {
	return func(o *reading) {
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{CheckpointIntervalMultiplier: 1,
			Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
				StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes}}}}
	}
}

func textID() *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}
}

// appendTo is the first message of an append that expects nothing.
func appendTo(stream string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}, ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}}}}}
}

// proposing is a further message of an append.
func proposing(kind string, data []byte) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: textID(), Metadata: map[string]string{"type": kind, "content-type": "application/json"}, Data: data}}}
}

func batched(kind string, data []byte) *streams.BatchAppendReq_ProposedMessage {
	return &streams.BatchAppendReq_ProposedMessage{
		Id: textID(), Metadata: map[string]string{"type": kind, "content-type": "application/json"}, Data: data}
}
