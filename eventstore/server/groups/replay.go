package groups

// replay brings messages back from the parked stream. What was replayed and settled is hidden there afterwards, in order, so that a
// crash in between leaves the others parked.
type replay struct {
	next      uint64 // the next revision to be offered
	to        uint64 // the first that is not to be replayed
	hidden    uint64 // revisions below are hidden already
	unsettled window
	hiding    uint64 // being stored, if isHiding
	isHiding  bool
	blocked   bool // storing failed; not before the next tick
}

// Replay asks for the parked messages from (the first that is not hidden) up to, exclusive, to. What was asked for before is not taken twice.
func (g *Group) Replay(from, to uint64) {
	r := &g.replay
	r.next = max(r.next, from)
	r.hidden = max(r.hidden, from)
	r.to = max(r.to, to)
}

// NextReplay returns the next revision of the parked stream to be offered, and how many there is room for: 0 if none is asked for.
func (g *Group) NextReplay() (from uint64, room int) {
	r := &g.replay
	if r.next >= r.to || len(g.consumers) == 0 || len(g.open) >= MaxOutstanding {
		return r.next, 0
	}
	return r.next, min(max(g.set.Buffer-g.retries.len(), 0), int(min(r.to-r.next, MaxBuffer)))
}

// OfferReplay adds a parked message; r.At is its revision in the parked stream. Its retries begin at 0 again.
func (g *Group) OfferReplay(r Ref) {
	r.Replay = true
	m := &message{Ref: r}
	g.replay.next = r.At + 1
	g.replay.unsettled.push(m)
	g.retries.insert(m)
}

// PassReplay says that up to this revision nothing more can be replayed.
func (g *Group) PassReplay(at uint64) { g.replay.next = max(g.replay.next, at+1) }

// EndReplay says that the parked stream holds nothing more to be replayed.
func (g *Group) EndReplay() { g.replay.next = max(g.replay.next, g.replay.to) }

// truncate hides what is settled: when nothing is left of the replay, or when asked to.
func (r *replay) truncate(out *Effects, now bool) {
	below := r.next
	if m := r.unsettled.oldest(); m != nil {
		if below = m.At; !now {
			return
		}
	}
	if r.isHiding || r.blocked || below <= r.hidden {
		return
	}
	r.isHiding, r.hiding = true, below
	out.Truncate, out.Below = true, below
}

// Truncated says whether the parked stream could be truncated. If not, the next Tick may try again.
func (g *Group) Truncated(stored bool) {
	r := &g.replay
	if !r.isHiding {
		return
	}
	r.isHiding = false
	if stored {
		r.hidden = r.hiding
	} else {
		r.blocked = true
	}
}
