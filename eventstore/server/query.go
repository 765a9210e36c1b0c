package server

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/annalhq/annal/eventstore/engine"
)

// query is a checked read request.
type query struct {
	stream    string // empty: the whole log
	dir       engine.Direction
	subscribe bool
	count     uint64 // of events, or of matches if there is a filter; nothing may be allocated by it
	resolve   bool
	filter    *filter
	encoder   encoder
	compat    uint32 // what the client understands beyond events: nothing if 0

	position engine.Position // $all: reads begin there, subscriptions behind it
	revision engine.Revision // a stream: likewise
	fromEnd  bool
	after    bool // a subscription that begins behind position or revision, not at the start
}

// parseQuery refuses with INVALID_ARGUMENT what doesn't go together.
func parseQuery(req *streams.ReadReq) (*query, error) {
	o := req.GetOptions()
	if o == nil {
		return nil, invalid("the read has no options")
	}
	q := &query{resolve: o.GetResolveLinks(), compat: o.GetControlOption().GetCompatibility()}
	switch o.GetReadDirection() {
	case streams.ReadReq_Options_Forwards:
	case streams.ReadReq_Options_Backwards:
		q.dir = engine.Backwards
	default: // a number of a later protocol, which may mean anything
		return nil, invalid("read_direction is neither Forwards nor Backwards")
	}
	switch o.GetUuidOption().GetContent().(type) {
	case *streams.ReadReq_Options_UUIDOption_Structured:
	case *streams.ReadReq_Options_UUIDOption_String_:
		q.encoder.textIDs = true
	default:
		return nil, invalid("uuid_option is missing")
	}
	switch c := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		q.count = c.Count
	case *streams.ReadReq_Options_Subscription:
		q.subscribe = true
	default:
		return nil, invalid("count_option is missing: give a count, or ask for a subscription")
	}
	if q.subscribe && q.dir == engine.Backwards {
		return nil, invalid("a subscription can't run backwards")
	}
	if err := q.parseFilter(o); err != nil {
		return nil, err
	}
	return q, q.parseSource(o)
}

func (q *query) parseFilter(o *streams.ReadReq_Options) error {
	f := o.GetFilter()
	if f == nil {
		return nil
	}
	if o.GetStream() != nil {
		return invalid("a filter goes with $all only")
	}
	var err error
	q.filter, err = parseFilter(f, q.subscribe)
	return err
}

func (q *query) parseSource(o *streams.ReadReq_Options) error {
	switch source := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		return q.parseStream(source.Stream)
	case *streams.ReadReq_Options_All:
		return q.parseAll(source.All)
	}
	return invalid("stream_option is missing: name a stream, or ask for $all")
}

func (q *query) parseStream(o *streams.ReadReq_Options_StreamOptions) error {
	q.stream = string(o.GetStreamIdentifier().GetStreamName())
	if err := engine.CheckStream(q.stream); err != nil {
		return invalid(err.Error())
	}
	switch r := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		q.revision, q.after = engine.Revision(r.Revision), true
	case *streams.ReadReq_Options_StreamOptions_Start:
	case *streams.ReadReq_Options_StreamOptions_End:
		q.revision, q.fromEnd = math.MaxUint64, true
	default:
		return invalid("revision_option is missing")
	}
	return nil
}

func (q *query) parseAll(o *streams.ReadReq_Options_AllOptions) error {
	switch p := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		// On the wire 0 and a number that is missing are the same (proto3), so a position that says nothing is the one before the first event.
		q.position, q.after = engine.Position(p.Position.GetCommitPosition()), true
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		q.position, q.fromEnd = engine.End, true
	default:
		return invalid("all_option is missing")
	}
	return nil
}
