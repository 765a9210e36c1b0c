package engine

import "strings"

// writeEvents writes an accepted append. A softly deleted stream that gets events is recreated: its metadata then hides what was
// before. Metadata written to a softly deleted stream undeletes it in the same way.
func (c *commits) writeEvents(s state, q *request) (Appended, error) {
	var follow *Event // metadata event written after q's
	var followed *head
	switch {
	case s.meta != nil && s.meta.limits.SoftDeleted():
		previous, err := c.lastData(s.meta)
		if err != nil {
			return Appended{}, err
		}
		followed, follow = s.meta, truncated(previous, Revision(s.own.last+1))
	case s.parent != nil && s.own.limits.SoftDeleted():
		if e := &q.events[len(q.events)-1]; !parseLimits(e).SoftDeleted() {
			followed, follow = s.own, truncated(e.Data, Revision(s.parent.last+1))
		}
	}
	now := TicksOf(c.db.cfg.Now())
	rest := uint64(len(q.events))
	if follow != nil {
		rest++
	}
	var done Appended
	for i := range q.events {
		rest--
		done.Revision = s.own.last + 1
		done.Position = c.put(s.own, q.stream, &q.events[i], Revision(done.Revision), now, rest)
	}
	if s.parent != nil {
		s.own.limits = parseLimits(&q.events[len(q.events)-1])
	}
	if follow != nil {
		c.put(followed, metadataOf(q.stream), follow, Revision(followed.last+1), now, 0)
		followed.limits = parseLimits(follow)
	}
	return done, nil
}

func (c *commits) writeDelete(s state, q *request) (Appended, error) {
	e := truncated(nil, softDelete)
	r := s.meta.last + 1
	p := c.put(s.meta, metadataOf(q.stream), e, Revision(r), TicksOf(c.db.cfg.Now()), 0)
	s.meta.limits = parseLimits(e)
	c.heads.touched = append(c.heads.touched, q.stream)
	return Appended{Position: p, Revision: r}, nil
}

func (c *commits) writeTombstone(s state, q *request) (Appended, error) {
	e := &Event{ID: newID(), Type: TombstoneType, JSON: true, Data: []byte("{}")}
	p := c.put(s.own, q.stream, e, Tombstone, TicksOf(c.db.cfg.Now()), 0)
	return Appended{Position: p, Revision: int64(Tombstone)}, nil
}

// lastData returns the data of a stream's last event.
func (c *commits) lastData(h *head) ([]byte, error) {
	c.settle(h)
	r, err := c.db.record(h.at)
	return r.Data, err
}

func metadataOf(stream string) string {
	if strings.HasPrefix(stream, MetadataPrefix) {
		return stream
	}
	return MetadataPrefix + stream
}
