package engine

// verdict is what the decision table says about an append.
type verdict uint8

const (
	accept   verdict = iota
	wrong            // the expected revision is wrong, unless the append is a repeated one
	wrongAll         // the expected revision is wrong, whatever the ids are
	ended            // the stream is deleted
	repeated         // accept, unless the append is a repeated one
)

// situation is what a decision depends on.
type situation struct {
	last      int64 // last revision, -1 none
	ended     bool  // tombstoned
	deleted   bool  // softly
	described bool  // has metadata
}

// judge is the decision table for expected revisions (docs/eventstore-format.md has it as a table): pure, total.
func judge(s situation, expected Expected) verdict {
	switch {
	case s.ended:
		return ended
	case expected == ExpectAny && s.last < 0:
		return accept
	case expected == ExpectAny:
		return repeated
	case expected == ExpectExists && s.deleted:
		return ended
	case expected == ExpectExists && s.last >= 0:
		return repeated
	case expected == ExpectExists && s.described:
		return accept
	case expected == ExpectExists:
		return wrongAll
	case int64(expected) == s.last:
		return accept
	case int64(expected) > s.last:
		return wrongAll
	case expected == ExpectNoStream && s.deleted:
		return repeated
	}
	return wrong
}

// decide answers q, and writes what it accepts into the batch. A refusal leaves the batch as it was.
func (c *commits) decide(q *request) {
	before := c.next
	q.done, q.err = c.attempt(q)
	c.db.metrics.answered(q, c.next > before)
}

func (c *commits) attempt(q *request) (Appended, error) {
	if q.kind == sweepStream || q.kind == sweptAll {
		return c.scavenge(q)
	}
	s, err := c.heads.load(q.stream)
	if err != nil {
		return Appended{}, err
	}
	now := s.situation()
	refusal := &RevisionError{Stream: q.stream, Expected: q.expected, Current: now.last}
	v := judge(now, q.expected)
	switch v {
	case ended:
		return Appended{}, ErrStreamDeleted
	case wrongAll:
		return Appended{}, refusal
	case wrong, repeated:
		if q.kind == appendEvents {
			first, known, err := c.recall(s.own, q)
			if err != nil {
				return Appended{}, err
			}
			if known == len(q.events) && known > 0 {
				return Appended{Position: first.position, Revision: int64(first.revision)}, nil
			}
			if known > 0 {
				return Appended{}, refusal // begins as an earlier append, goes on otherwise
			}
		}
		if v == wrong {
			return Appended{}, refusal
		}
	}
	if q.kind == appendEvents && len(q.events) == 0 {
		return Appended{Empty: true, Revision: now.last}, nil
	}
	if err := c.space.check(); err != nil {
		return Appended{}, err
	}
	switch q.kind {
	case deleteSoftly:
		if now.last < 0 && !now.described {
			return Appended{}, refusal
		}
		return c.writeDelete(s, q)
	case tombstone:
		return c.writeTombstone(s, q)
	default:
		return c.writeEvents(s, q)
	}
}
