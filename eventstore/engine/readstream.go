package engine

import (
	"github.com/cockroachdb/pebble/v2"
)

// streamReader fills a page from a stream's index and the log. Positions in an index rise with the revisions, so both
// iterators only move one way.
type streamReader struct {
	db     *DB
	stream string
	id     Position
	index  *pebble.Iterator
	log    *pebble.Iterator // its upper bound is the visible position
	oldest Ticks            // events created before are hidden
	page   StreamPage
	size   int
	key    [streamKeyLen]byte
}

func (s *streamReader) full(n, maxEvents int) bool {
	return n >= min(maxEvents, pageEvents) || s.size >= pageBytes
}

func (s *streamReader) forwards(from Revision, maxEvents int) error {
	s.page.Next = from
	if from > s.page.Last {
		s.page.End = true
		return nil
	}
	ok := s.index.SeekGE(appendStreamKey(s.key[:0], s.id, from))
	for n := 0; s.page.Next <= s.page.Last; n++ {
		if s.full(n, maxEvents) {
			return nil
		}
		if err := s.take(ok, s.page.Next); err != nil {
			return err
		}
		s.page.Next++
		ok = s.index.Next()
	}
	s.page.End = true
	return nil
}

func (s *streamReader) backwards(from Revision, maxEvents int) error {
	s.page.Next = from
	if from < s.page.First {
		s.page.End = true
		return nil
	}
	ok := s.index.SeekLT(appendStreamKey(s.key[:0], s.id, from+1))
	for n := 0; ; n++ {
		if s.full(n, maxEvents) {
			return nil
		}
		if err := s.take(ok, s.page.Next); err != nil {
			return err
		}
		if s.page.Next == s.page.First {
			break
		}
		s.page.Next--
		ok = s.index.Prev()
	}
	s.page.End = true
	return nil
}

// take puts the event the index stands on into the page, if it is young enough. It must be the stream's revision want.
func (s *streamReader) take(ok bool, want Revision) error {
	if !ok {
		if err := s.index.Error(); err != nil {
			return readFault(err)
		}
		return corrupt(s.id, "the stream that begins here lacks revision %d", want)
	}
	e, ok := decodeEntry(s.index.Key(), s.index.Value())
	if !ok || e.revision != want {
		return corrupt(s.id, "the stream that begins here lacks revision %d", want)
	}
	if !s.log.SeekGE(appendEventKey(s.key[:0], e.position)) {
		if err := s.log.Error(); err != nil {
			return readFault(err)
		}
		return corrupt(e.position, "the record is missing")
	}
	r, err := decodeAt(e.position, s.log)
	if err != nil {
		return err
	}
	if r.Stream != s.stream || r.Revision != want || r.ID != e.id {
		return corrupt(e.position, "the index and the record disagree")
	}
	s.size += len(s.log.Value())
	if r.Created >= s.oldest {
		s.page.Records = append(s.page.Records, r)
	}
	return nil
}
