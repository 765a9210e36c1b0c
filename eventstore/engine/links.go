package engine

import (
	"strings"
	"unicode/utf8"
)

// Link streams are written by the store itself: their events, of type "$>", point to events of other streams. They are an index
// over the log (linker.go) that is read like a stream (linkread.go); the log doesn't hold them, so neither does $all.
//
//	$ce-<category>        every event of a stream "<category>-..."
//	$et-<type>            every event of a type; deletions, hard and soft, as type $deleted
//	$streams              the first event of every stream
//	$category-<category>  the name of every stream "<category>-...", as an event of type "$@"
//
// What is in them depends on the log alone: whenever they are built, the same link has the same revision and id.
const (
	categoryPrefix        = "$ce-"
	typePrefix            = "$et-"
	streamsName           = "$streams"
	categoryStreamsPrefix = "$category-"

	linkType      = "$>" // the data is "<revision>@<stream>"
	referenceType = "$@" // the data is a stream's name
	deletedType   = "$deleted"
)

// LinkStream reports whether the store itself writes the stream: nobody else can append to it or delete it.
func LinkStream(stream string) bool {
	return strings.HasPrefix(stream, "$") && (strings.HasPrefix(stream, categoryPrefix) || strings.HasPrefix(stream, typePrefix) ||
		strings.HasPrefix(stream, categoryStreamsPrefix) || stream == streamsName)
}

// eachLink calls visit with the name, cut in two, of every link stream that r belongs to.
func eachLink(r *Record, visit func(prefix, rest string)) {
	category := categoryOf(r.Stream)
	if category != "" {
		visit(categoryPrefix, category)
	}
	if r.Type != linkType {
		visit(typePrefix, indexedType(r))
	}
	if r.Revision != 0 {
		return
	}
	visit(streamsName, "")
	if category != "" {
		visit(categoryStreamsPrefix, category)
	}
}

// belongs reports whether the link stream has a link to r.
func belongs(r *Record, stream string) (found bool) {
	eachLink(r, func(prefix, rest string) {
		found = found || len(stream) == len(prefix)+len(rest) && strings.HasPrefix(stream, prefix) && strings.HasSuffix(stream, rest)
	})
	return found
}

// categoryOf returns what stands before the first '-' of a stream's name. Streams of the system have no category.
func categoryOf(stream string) string {
	if strings.HasPrefix(stream, "$") {
		return ""
	}
	category, _, found := strings.Cut(stream, "-")
	if !found {
		return ""
	}
	return category
}

func indexedType(r *Record) string {
	if deletes(r) {
		return deletedType
	}
	return r.Type
}

// deletes reports whether r is a tombstone, or metadata that deletes its stream softly.
func deletes(r *Record) bool {
	if r.Revision == Tombstone {
		return true
	}
	return r.Type == MetadataType && strings.HasPrefix(r.Stream, MetadataPrefix) && parseLimits(&r.Event).SoftDeleted()
}

// linkable reports whether a link stream can have such a name: event types may be longer than names, or no UTF-8.
func linkable(prefix, rest string) bool {
	return len(prefix)+len(rest) <= maxStreamName && utf8.ValidString(rest)
}
