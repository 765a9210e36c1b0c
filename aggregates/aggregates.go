// Package aggregates is the register of domain events: stored name <-> Go type, for every context and version.
//
// A stored event is never changed and its name never reused: a field may be added if it is optional (old events
// decode without it, old programs ignore it), anything else is a new version with a type of its own and an upcaster. A
// golden file per name in testdata pins the JSON; every golden ever committed decodes for ever, to the same bytes again.
//
// The register also says what each event is about and which of its keys readers fold by: projections, sagas and
// partitions may rely on these keys being in the event itself, and look nothing up. docs/events.md is printed from it.
//
// A context registers its events in a file of its own (commerce.go, sagas.go), a line each. Callers: commands (to fold and
// to append), projections, sagas, queries, audit. Failure: ErrUnknownEvent for a name that is not registered, which
// ordered readers treat as poison, never skip; ErrEventMalformed for data that is not the JSON of its type.
package aggregates

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// The faults of the register.
var (
	ErrUnknownEvent   = fault.New(fault.Internal, "UNKNOWN_EVENT", "the event's type is not registered; it comes from a newer program")
	ErrEventMalformed = fault.New(fault.Internal, "EVENT_MALFORMED", "the event's data is not the JSON of its type")
)

// Type is one stored name.
type Type struct {
	Name     string       // "order.placed.v1"
	Category string       // "order": the category of the streams it stands in
	FoldKeys []string     // JSON names of the keys that readers fold by
	Doc      string       // what happened, in one sentence
	Go       reflect.Type // the value type that Decode returns
}

// event is what every context's Event is.
type event interface{ Type() string }

type entry struct {
	Type
	decode func([]byte) (any, error)
}

// entries is the register in the order of registration; byName finds in it. Neither is written after the program began.
var (
	entries = slices.Concat(commerce, services, sagas)
	byName  = index(entries)
)

// of registers the event type E of a category.
func of[E event](category, doc string, foldKeys ...string) entry {
	var zero E
	return entry{
		Type: Type{Name: zero.Type(), Category: category, FoldKeys: foldKeys, Doc: doc, Go: reflect.TypeFor[E]()},
		decode: func(data []byte) (any, error) {
			var e E
			if err := json.Unmarshal(data, &e); err != nil {
				return nil, err
			}
			return e, nil
		},
	}
}

func index(entries []entry) map[string]entry {
	m := make(map[string]entry, len(entries))
	for _, e := range entries {
		if _, twice := m[e.Name]; twice {
			panic("aggregates: " + e.Name + " is registered twice") //nolint:forbidigo // a mistake in the source, found by any test
		}
		m[e.Name] = e
	}
	return m
}

// Decode returns the event as a value of its Go type, such as order.Placed. JSON members that the type does not have are
// passed over: they are optional fields of a newer program. Faults: ErrUnknownEvent, ErrEventMalformed.
func Decode(eventType string, data []byte) (any, error) {
	e, ok := byName[eventType]
	if !ok {
		return nil, ErrUnknownEvent.Because("no event type %q is registered; it comes from a newer program", eventType)
	}
	v, err := e.decode(data)
	if err != nil {
		return nil, fault.Wrap(plain(err), ErrEventMalformed.Kind, ErrEventMalformed.Code, "the data is not the JSON of "+eventType)
	}
	return v, nil
}

// Encode returns the JSON under which the event is stored. Faults: ErrUnknownEvent, ErrEventMalformed.
func Encode(e interface{ Type() string }) ([]byte, error) {
	known, ok := byName[e.Type()]
	if !ok || known.Go != reflect.TypeOf(e) {
		return nil, ErrUnknownEvent.Because("the Go type %T is not registered as %q", e, e.Type())
	}
	data, err := json.Marshal(e)
	return data, fault.Wrap(err, ErrEventMalformed.Kind, ErrEventMalformed.Code, "the event can't be encoded as "+e.Type())
}

// Types returns the register, in the order of registration.
func Types() []Type {
	types := make([]Type, 0, len(entries))
	for _, e := range entries {
		e.FoldKeys = slices.Clone(e.FoldKeys)
		types = append(types, e.Type)
	}
	return types
}

// Lookup returns the registered type with the stored name.
func Lookup(eventType string) (Type, bool) {
	e, ok := byName[eventType]
	return e.Type, ok
}

// plain keeps what a decoder says about data out of error messages, since data may be anything: only the kind and place
// of the mistake are told.
func plain(err error) error {
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return errors.New(f.Code)
	}
	if s := (*json.SyntaxError)(nil); errors.As(err, &s) {
		return fmt.Errorf("syntax error at byte %d", s.Offset)
	}
	if u := (*json.UnmarshalTypeError)(nil); errors.As(err, &u) {
		return fmt.Errorf("field %q holds a JSON %s", u.Field, kindOf(u.Value))
	}
	return errors.New("malformed")
}

// kindOf cuts the number off "number 12".
func kindOf(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}
