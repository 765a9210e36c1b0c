package groups

import (
	"time"
)

// reached returns the last place below everything that isn't done.
func (g *Group) reached() mark {
	if m := g.unsettled.oldest(); m != nil {
		return m.before
	}
	return g.considered
}

// checkpoint decides whether it is time to store how far everything is settled. One is stored at a time.
func (g *Group) checkpoint(now time.Time) {
	at := g.reached()
	if g.isSaving || g.blocked || !at.known || at.count <= g.saved.count {
		return
	}
	settled := at.count - g.saved.count
	timely := g.ticked && g.set.CheckpointAfter > 0 && settled >= g.set.MinCheckpoint && now.Sub(g.savedAt) >= g.set.CheckpointAfter
	if settled < g.set.MaxCheckpoint && !timely && !g.flush {
		return
	}
	g.isSaving, g.saving, g.savedAt = true, at, now
	g.out.Save, g.out.Checkpoint = true, at.at
}

// Checkpointed says whether the checkpoint could be stored. If not, the next Tick may try again.
func (g *Group) Checkpointed(stored bool) {
	if !g.isSaving {
		return
	}
	g.isSaving = false
	if stored {
		g.saved = g.saving
	} else {
		g.blocked = true
	}
}

// Flush makes any progress a reason for a checkpoint at the next Advance: the group is about to stop.
func (g *Group) Flush() { g.flush, g.blocked, g.replay.blocked = true, false, false }
