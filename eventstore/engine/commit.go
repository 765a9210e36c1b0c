package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Limits of what one leader decides before it hands the lead on.
const (
	groupRequests = 1024
	groupBytes    = 4 << 20
)

// commits is the queue in front of the log and the state of whoever leads. Invariants:
//
//   - At most one request leads. The leader is out of the queue; everything below "leader's" is its alone.
//   - If the queue is not empty, somebody leads or has been told to.
//   - Positions are given in the order in which batches enter the WAL; the WAL is synced in that order. So when a batch
//     is synced, everything before it is, and its last position may become the visible one.
type commits struct {
	db *DB

	mu      sync.Mutex
	queue   []*request // guarded by mu
	leading bool       // guarded by mu: somebody leads, or has been told to

	// the leader's
	next    Position // the next event's
	heads   heads
	batch   *pebble.Batch
	round   uint64 // number of the batch being filled
	written []written
	scratch []byte
	swept   swept
	space   space
}

// written is a batch on its way to the disk.
type written struct {
	batch   *pebble.Batch
	last    Position
	touched []string // streams
}

func (c *commits) init(db *DB, last Position) {
	c.db = db
	c.next = last + 1
	c.round = 1
	c.heads = newHeads(db)
}

// join puts r in the queue, and tells it to lead if nobody does.
func (c *commits) join(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, r)
	if !c.leading {
		c.handOver()
	}
}

// abandon ends the wait of a request whose context is over: it leaves the queue unwritten if it still can.
func (c *commits) abandon(r *request) (Appended, error) {
	c.mu.Lock()
	i := slices.Index(c.queue, r)
	if i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
	select {
	case t := <-r.turn:
		if t == lead {
			c.handOver()
		} else {
			c.mu.Unlock()
			return r.done, r.err
		}
	default:
	}
	c.mu.Unlock()
	if i >= 0 {
		return Appended{}, ErrOutcomeUnknown.Because("the append was not begun in time; nothing was written")
	}
	return Appended{}, ErrOutcomeUnknown
}

// handOver tells the first in the queue to lead. REQUIRES: c.mu is held and nobody else leads or was told to.
func (c *commits) handOver() {
	c.leading = len(c.queue) > 0
	if c.leading {
		c.queue[0].turn <- lead
	}
}

// take removes a group from the queue; r, who leads, is always in it.
func (c *commits) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.queue) && n < groupRequests && size < groupBytes {
		for i := range c.queue[n].events {
			size += len(c.queue[n].events[i].Data) + len(c.queue[n].events[i].Metadata)
		}
		n++
	}
	group := slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	return group
}

// lead decides a group, writes it, hands the lead on, waits for the disk, and answers. r is the first of the group.
func (c *commits) lead(r *request) {
	group := c.take()
	c.db.metrics.group.Observe(float64(len(group)))
	for _, q := range group {
		c.decide(q)
	}
	c.flush(true)
	batches := c.written
	c.written = nil
	c.mu.Lock()
	c.handOver()
	c.mu.Unlock()
	c.db.publish(batches)
	for _, q := range group {
		if q != r {
			q.turn <- finished
		}
	}
}

// flush sends the batch to the WAL. At the end of a group it also does so for an empty one if an answer may rest on events
// that aren't durable yet: a refusal or a repeated append must not be told of a state that a power cut can undo.
func (c *commits) flush(groupEnds bool) {
	last := c.next - 1
	switch {
	case c.batch != nil:
	case groupEnds && len(c.written) == 0 && c.db.Last() < last:
		c.batch = c.db.pebble.NewBatch()
		if err := c.batch.LogData(nil, nil); err != nil {
			c.db.crash(err)
		}
	default:
		return
	}
	if err := c.db.pebble.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
		c.db.crash(err)
	}
	c.written = append(c.written, written{c.batch, last, c.heads.touched})
	c.batch, c.heads.touched = nil, nil
	c.round++
}

// publish waits until the batches are durable and lets readers see them.
func (db *DB) publish(batches []written) {
	for _, w := range batches {
		if err := w.batch.SyncWait(); err != nil {
			db.crash(err)
		}
		for {
			seen := db.visible.Load()
			if seen >= uint64(w.last) || db.visible.CompareAndSwap(seen, uint64(w.last)) {
				break
			}
		}
		db.signals.notify(w.touched)
		db.grown()
		if err := w.batch.Close(); err != nil {
			db.cfg.Logger.Error("event store: a written batch did not close", "error", err)
		}
	}
}

// crash ends the process: what is on the disk is unknown until the next Open has looked.
func (db *DB) crash(err error) {
	db.cfg.Fatal(fmt.Errorf("engine: commit: %w", err))
	panic("engine: Config.Fatal returned") //nolint:forbidigo // its contract is not to return: to go on would be to acknowledge what is not on disk
}

// put adds an event of stream h at revision r to the batch and moves the head. rest events of the same append follow.
func (c *commits) put(h *head, stream string, e *Event, r Revision, now Ticks, rest uint64) Position {
	if c.batch == nil {
		c.batch = c.db.pebble.NewBatch()
	}
	p := c.next
	c.next++
	rec := Record{Position: p, Stream: stream, Revision: r, Created: now, Rest: rest, Event: *e}
	op := c.batch.SetDeferred(eventKeyLen, recordLen(&rec))
	appendEventKey(op.Key[:0], p)
	putRecord(op.Value, &rec)
	c.finish(op)
	c.db.metrics.events.Inc()
	c.db.metrics.bytes.Add(float64(len(op.Value)))
	if h.id == 0 {
		h.id = p
		c.heads.born(h, stream)
		op = c.batch.SetDeferred(1+len(stream), 8)
		appendNameKey(op.Key[:0], stream)
		putPosition(op.Value, p)
		c.finish(op)
	}
	op = c.batch.SetDeferred(streamKeyLen, streamValLen)
	appendStreamKey(op.Key[:0], h.id, r)
	putStreamValue(op.Value, p, e.ID)
	c.finish(op)
	c.heads.wrote(h, stream, entry{r, p, e.ID}, c.round)
	return p
}

func (c *commits) finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		c.db.crash(err)
	}
}
