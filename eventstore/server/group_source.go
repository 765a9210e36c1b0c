package server

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

// groupSource reads what a group delivers: a stream or the whole log, and the group's parked stream. It keeps nothing but the place
// where reading goes on.
type groupSource struct {
	db     *engine.DB
	cfg    *groupConfig
	filter *filter
	next   uint64
}

// watch returns the signal for new events. Take it before reading.
func (s *groupSource) watch() <-chan struct{} {
	if s.cfg.ofAll() {
		return s.db.WatchAll()
	}
	return s.db.WatchStream(s.cfg.Stream)
}

// sighting is an event of the source that was looked at.
type sighting struct {
	ref     groups.Ref
	record  *engine.Record
	matches bool
	counts  bool // is a reason for a checkpoint
}

// read returns what comes next, at most n events, and whether that was all for now.
func (s *groupSource) read(n int) (seen []sighting, end bool, err error) {
	if s.cfg.ofAll() {
		return s.readAll(n)
	}
	page, err := s.db.ReadStream(s.cfg.Stream, engine.Revision(s.next), engine.Forwards, n)
	if errors.Is(err, engine.ErrStreamMissing) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	seen = make([]sighting, 0, len(page.Records)+1)
	for i := range page.Records {
		r := &page.Records[i]
		ref, err := s.ref(r, uint64(r.Revision))
		if err != nil {
			return nil, false, err
		}
		seen = append(seen, sighting{ref: ref, record: r, matches: true})
	}
	if last := uint64(page.Next) - 1; uint64(page.Next) > s.next && (len(seen) == 0 || seen[len(seen)-1].ref.At < last) {
		seen = append(seen, sighting{ref: groups.Ref{At: last}, counts: true}) // too old, or truncated
	}
	s.next = max(s.next, uint64(page.Next))
	return seen, page.End, nil
}

// matchingAtOnce bounds what a slow filter may take of the group's goroutine before it looks up again.
const matchingAtOnce = 100 * time.Millisecond

func (s *groupSource) readAll(n int) (seen []sighting, end bool, err error) {
	began := time.Now()
	page, err := s.db.ReadAll(engine.Position(s.next), engine.Forwards, n)
	if err != nil {
		return nil, false, err
	}
	seen = make([]sighting, 0, len(page.Records))
	for i := range page.Records {
		r := &page.Records[i]
		if hidden(r) {
			seen = append(seen, sighting{ref: groups.Ref{At: uint64(r.Position)}})
			continue
		}
		match, err := s.filter.matches(r)
		if err != nil {
			return nil, false, err
		}
		ref := groups.Ref{At: uint64(r.Position)}
		if match {
			if ref, err = s.ref(r, uint64(r.Position)); err != nil {
				return nil, false, err
			}
		}
		seen = append(seen, sighting{ref: ref, record: r, matches: match, counts: true})
		if s.filter.slow() && time.Since(began) > matchingAtOnce {
			s.next = uint64(r.Position) + 1
			return seen, false, nil
		}
	}
	s.next = max(s.next, uint64(page.Next))
	return seen, page.End, nil
}

// ref names a record, and finds out what it has to stay together with.
func (s *groupSource) ref(r *engine.Record, at uint64) (groups.Ref, error) {
	ref := groups.Ref{ID: groups.ID(r.ID), At: at}
	switch groups.Strategy(s.cfg.Strategy) {
	case groups.Pinned:
		ref.Pin = groups.PinOf(originOf(r))
	case groups.PinnedByCorrelation:
		event := r
		if s.cfg.ResolveLinks {
			target, isLink, err := follow(s.db, r)
			if err != nil {
				return ref, err
			}
			if isLink && target != nil {
				event = target
			}
		}
		ref.Pin = groups.PinOf(correlationOf(event.Metadata, originOf(r)))
	}
	return ref, nil
}

// originOf is the stream an event comes from: of a link, the one it points to, whether it is resolved or not.
func originOf(r *engine.Record) string {
	if r.Type == linkType {
		if stream, _, ok := parseLink(r.Data); ok {
			return stream
		}
	}
	return r.Stream
}

func correlationOf(metadata []byte, otherwise string) string {
	var m struct {
		ID string `json:"$correlationId"`
	}
	if json.Unmarshal(metadata, &m) != nil || m.ID == "" {
		return otherwise
	}
	return m.ID
}

// message is what a consumer gets: an event, and the link through which it came.
type message struct {
	event *engine.Record // nil: the link's target is gone
	link  *engine.Record
}

// original is what has a place in the source.
func (m message) original() *engine.Record {
	if m.link != nil {
		return m.link
	}
	return m.event
}

// pointed is what a link to the message points to.
func (m message) pointed() *engine.Record {
	if m.event != nil {
		return m.event
	}
	return m.link
}

// resolve makes a message of a record of the source.
func (s *groupSource) resolve(r *engine.Record) (message, error) {
	if !s.cfg.ResolveLinks {
		return message{event: r}, nil
	}
	target, isLink, err := follow(s.db, r)
	if err != nil || !isLink {
		return message{event: r}, err
	}
	return message{event: target, link: r}, nil
}

// load reads a message again. It is not ok if the event is no longer there: truncated, too old, deleted or scavenged.
func (s *groupSource) load(ref groups.Ref) (m message, ok bool, err error) {
	switch {
	case ref.Replay:
		link, err := s.one(s.cfg.parked(), ref.At)
		if err != nil || link == nil {
			return m, false, err
		}
		target, _, err := follow(s.db, link)
		return message{event: target, link: link}, target != nil, err
	case s.cfg.ofAll():
		page, err := s.db.ReadAll(engine.Position(ref.At), engine.Forwards, 1)
		if err != nil || len(page.Records) == 0 || uint64(page.Records[0].Position) != ref.At {
			return m, false, err
		}
		m, err = s.resolve(&page.Records[0])
		return m, err == nil, err
	}
	r, err := s.one(s.cfg.Stream, ref.At)
	if err != nil || r == nil {
		return m, false, err
	}
	m, err = s.resolve(r)
	return m, err == nil, err
}

// one reads one event of a stream, nil if it is not there (any more).
func (s *groupSource) one(stream string, revision uint64) (*engine.Record, error) {
	return readOne(s.db, stream, engine.Revision(revision))
}

// parkedBounds returns the revisions of the parked stream that are not hidden: from inclusive, to exclusive.
func (s *groupSource) parkedBounds() (from, to uint64, err error) {
	page, err := s.db.ReadStream(s.cfg.parked(), engine.LastRevision, engine.Backwards, 1)
	if errors.Is(err, engine.ErrStreamMissing) || errors.Is(err, engine.ErrStreamDeleted) {
		return 0, 0, nil
	}
	return uint64(page.First), uint64(page.Last) + 1, err
}

// parkedRefs reads parked messages for a replay: at most n, from a revision. next is where reading goes on.
func (s *groupSource) parkedRefs(from uint64, n int) (refs []groups.Ref, next uint64, end bool, err error) {
	page, err := s.db.ReadStream(s.cfg.parked(), engine.Revision(from), engine.Forwards, n)
	if errors.Is(err, engine.ErrStreamMissing) || errors.Is(err, engine.ErrStreamDeleted) {
		return nil, from, true, nil
	}
	if err != nil {
		return nil, from, false, err
	}
	for i := range page.Records {
		r := &page.Records[i]
		ref, err := s.ref(r, uint64(r.Revision))
		if err != nil {
			return nil, from, false, err
		}
		refs = append(refs, ref)
	}
	return refs, uint64(page.Next), page.End, nil
}

// last returns the last place of the source, in the protocol's notation; "" if it has none. next is the place behind it.
func (s *groupSource) last() (text string, next uint64, err error) {
	if s.cfg.ofAll() {
		p := s.db.Last()
		if p == 0 {
			return "", 0, nil
		}
		return s.cfg.place(uint64(p)), uint64(p) + 1, nil
	}
	page, err := s.db.ReadStream(s.cfg.Stream, engine.LastRevision, engine.Backwards, 1)
	if errors.Is(err, engine.ErrStreamMissing) || errors.Is(err, engine.ErrStreamDeleted) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	return s.cfg.place(uint64(page.Last)), uint64(page.Last) + 1, nil
}
