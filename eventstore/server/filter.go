package server

import (
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
)

// Bounds of what a filter may cost.
const (
	matchTimeout   = 250 * time.Millisecond // for one name against one expression
	maxExpression  = 16 << 10               // bytes of a regular expression
	maxPrefixes    = 4096
	defaultWindow  = 32
	groupOfAllName = "$persistentsubscription-$all::"
)

// filter selects events of $all by stream name or event type.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp2.Regexp // the dialect of .NET, as the protocol has it: Go's own has no look-around
	interval uint64          // events considered from one checkpoint to the next
}

func parseFilter(o *streams.ReadReq_Options_FilterOptions, subscribe bool) (*filter, error) {
	f := &filter{}
	var x *streams.ReadReq_Options_FilterOptions_Expression
	switch by := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		x = by.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		x, f.byType = by.EventType, true
	default:
		return nil, invalid("the filter says neither stream_identifier nor event_type")
	}
	if err := f.parseExpression(x); err != nil {
		return nil, err
	}
	window := uint64(defaultWindow)
	if w, ok := o.GetWindow().(*streams.ReadReq_Options_FilterOptions_Max); ok {
		window = uint64(w.Max)
	}
	f.interval = window * uint64(o.GetCheckpointIntervalMultiplier())
	if subscribe && f.interval == 0 {
		return nil, invalid("the filter's window and checkpointIntervalMultiplier must be at least 1")
	}
	return f, nil
}

func (f *filter) parseExpression(x *streams.ReadReq_Options_FilterOptions_Expression) error {
	if len(x.GetRegex()) > maxExpression || len(x.GetPrefix()) > maxPrefixes {
		return invalid("the filter is too large")
	}
	f.prefixes = x.GetPrefix()
	if x.GetRegex() == "" {
		if len(f.prefixes) == 0 {
			return invalid("the filter has neither a regular expression nor a prefix")
		}
		return nil
	}
	return f.compile(x.GetRegex())
}

// compile takes an expression of whoever calls. A defect in the foreign engine ends that call, not the store.
func (f *filter) compile(regex string) (err error) {
	defer func() {
		if recover() != nil {
			err = errExpression
		}
	}()
	if f.regex, err = regexp2.Compile(regex, regexp2.None); err != nil {
		return invalid("the filter's regular expression is malformed: " + err.Error())
	}
	f.regex.MatchTimeout = matchTimeout
	return nil
}

var errExpression = invalid("the filter's regular expression is beyond this store; write it another way")

// matches reports whether the filter lets r through. An expression that takes too long on a name ends the call.
func (f *filter) matches(r *engine.Record) (ok bool, err error) {
	if f == nil {
		return true, nil
	}
	defer func() {
		if recover() != nil {
			ok, err = false, errExpression
		}
	}()
	subject := r.Stream
	if f.byType {
		subject = r.Type
	}
	if f.regex == nil {
		return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(subject, p) }), nil
	}
	ok, err = f.regex.MatchString(subject)
	if err != nil {
		return false, status.Errorf(codes.InvalidArgument, "the filter's regular expression takes too long at position %d; simplify it", r.Position)
	}
	return ok, nil
}

// slow reports whether a match may take long, matchTimeout at most: whoever matches many names looks up in between.
func (f *filter) slow() bool { return f != nil && f.regex != nil }

// hidden reports whether r is never shown in $all: the housekeeping of groups that read $all would feed itself.
func hidden(r *engine.Record) bool {
	if len(r.Stream) == 0 || r.Stream[0] != '$' {
		return false
	}
	name := strings.TrimPrefix(r.Stream, engine.MetadataPrefix) // their metadata likewise: a replay truncates the parked stream
	return name == "$epoch-information" || strings.HasPrefix(name, groupOfAllName) &&
		(strings.HasSuffix(name, "-checkpoint") || strings.HasSuffix(name, "-parked"))
}
