package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
	"github.com/annalhq/annal/internal/fault"
)

// Reasons for which a group ends its consumers' calls, or can't be asked.
var (
	errGroupDropped = fault.New(fault.Unavailable, "GROUP_CHANGED", "the group was updated, deleted or restarted: subscribe again")
	errGroupMissing = fault.New(fault.Missing, "GROUP_MISSING", "there is no such group")
	errGroupExists  = fault.New(fault.Conflict, "GROUP_EXISTS", "there is such a group already")
)

const (
	groupTick    = time.Second
	bufferBytes  = 4 << 20 // events that a group keeps in memory until they are sent; behind that it keeps references
	inboxSize    = 64
	inputsAtOnce = 256
	pageAtOnce   = 512
)

// group runs one persistent subscription. Its goroutine is started by the first who asks it something, and ended by the registry; while
// nothing happens it waits for its inbox, for the engine's signal if somebody is connected, and for nothing else.
//
//	calls: join, leave, answers --> inbox --+
//	engine: new events ------> signal ------+--> groupLoop: groups.Group --+--> consumers' queues --> their calls --> clients
//	writer: stored, or not --> outcomes ----+                              +--> writer: parked messages, checkpoints
//
// The group's own writes are done by one goroutine at a time, so the loop waits for no disk; its reads are pages of the engine. What
// it keeps in memory is bounded: references by package groups, events by bufferBytes, and by queuedBytes for each consumer.
type group struct {
	key    groupKey
	cfg    *groupConfig
	source *groupSource
	store  groupStore
	log    *slog.Logger
	inbox  chan func(*groupLoop)
	ended  chan struct{} // closed when the goroutine has ended, or will never start

	mu      sync.Mutex
	running bool
	stop    chan error // capacity 1: why to stop
	stopped bool
}

func newGroup(s *Server, cfg *groupConfig) (*group, error) {
	f, err := cfg.Filter.compile()
	if err != nil {
		return nil, err
	}
	return &group{
		key: cfg.groupKey, cfg: cfg, source: &groupSource{db: s.db, cfg: cfg, filter: f},
		store: groupStore{db: s.db, key: cfg.groupKey, timeout: s.cfg.WriteTimeout},
		log:   s.cfg.Logger.With("group", cfg.String()),
		inbox: make(chan func(*groupLoop), inboxSize), ended: make(chan struct{}), stop: make(chan error, 1),
	}, nil
}

// begin starts the goroutine if it doesn't run. It returns errGroupDropped if it never will again.
func (g *group) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped:
		return errGroupDropped
	case !g.running:
		g.running = true
		go (&groupLoop{group: g}).run()
	}
	return nil
}

func (g *group) started() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running
}

// end stops the goroutine, drops the consumers for the reason given, stores the checkpoint, and waits for all that.
func (g *group) end(why error) {
	g.mu.Lock()
	if !g.stopped {
		g.stopped = true
		if g.running {
			g.stop <- why
		} else {
			close(g.ended)
		}
	}
	g.mu.Unlock()
	<-g.ended
}

// do lets the loop do something, and doesn't wait for it.
func (g *group) do(ctx context.Context, f func(*groupLoop)) error {
	if err := g.begin(); err != nil {
		return err
	}
	select {
	case g.inbox <- f:
		return nil
	case <-g.ended:
		return errGroupDropped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask lets the loop, which has read the group's streams, do something, and waits for its answer.
func (g *group) ask(ctx context.Context, f func(*groupLoop) error) error {
	answer := make(chan error, 1)
	err := g.do(ctx, func(l *groupLoop) {
		err := l.load()
		if err == nil {
			err = f(l)
		}
		answer <- err
	})
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-g.ended:
		select {
		case err := <-answer:
			return err
		default:
			return errGroupDropped
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join connects a consumer; leave must follow.
func (g *group) join(ctx context.Context, c *consumer) error {
	err := g.ask(ctx, func(l *groupLoop) error { return l.join(c) })
	if err != nil && ctx.Err() != nil {
		g.leave(c) // it may have joined after all
	}
	return err
}

func (g *group) leave(c *consumer) {
	// The error says that the group has ended, and the consumer with it.
	_ = g.do(context.Background(), func(l *groupLoop) { l.leave(c, nil) })
}

// groupLoop is what only the group's goroutine touches.
type groupLoop struct {
	*group
	machine   *groups.Group // nil: not loaded
	consumers map[groups.Consumer]*consumer
	lastID    groups.Consumer
	delivered meter

	changed <-chan struct{} // the engine's signal, taken before the last read; nil: read first
	records map[uint64]*engine.Record
	bytes   int

	ticker   *time.Ticker
	pending  writeJob
	outcomes chan writeOutcome // capacity 1
	writing  bool
	quit     bool
}

func (l *groupLoop) run() {
	defer close(l.ended)
	l.outcomes = make(chan writeOutcome, 1)
	l.consumers = map[groups.Consumer]*consumer{}
	l.records = map[uint64]*engine.Record{}
	for !l.quit {
		more := l.work()
		l.wait(more)
	}
	l.finish()
}

// wait takes the next inputs; if there is more to be read it doesn't block.
func (l *groupLoop) wait(more bool) {
	if more {
		select {
		case f := <-l.inbox:
			l.input(f)
		case o := <-l.outcomes:
			l.wrote(o)
		case <-l.ticks():
			l.tick()
		case why := <-l.stop:
			l.halt(why)
		default:
		}
		return
	}
	changed := l.changed
	if len(l.consumers) == 0 {
		changed = nil
	}
	select {
	case f := <-l.inbox:
		l.input(f)
	case o := <-l.outcomes:
		l.wrote(o)
	case <-l.ticks():
		l.tick()
	case <-changed:
		l.changed = nil
	case why := <-l.stop:
		l.halt(why)
	}
}

// input takes what has come, so that many answers are one look at what to do next.
func (l *groupLoop) input(f func(*groupLoop)) {
	f(l)
	for range inputsAtOnce {
		select {
		case f := <-l.inbox:
			f(l)
		default:
			return
		}
	}
}

// load reads the group's checkpoint, once.
func (l *groupLoop) load() error {
	if l.machine != nil {
		return nil
	}
	at, saved, err := l.store.checkpoint()
	if err != nil {
		return err
	}
	l.source.next = l.cfg.Next
	if saved {
		l.source.next = at + 1
	}
	if l.cfg.ofAll() {
		l.source.next = max(l.source.next, 1)
	}
	l.machine = groups.New(l.cfg.settings(), groups.Start{Next: l.source.next, Checkpoint: at, Saved: saved}, time.Now())
	return nil
}

func (l *groupLoop) join(c *consumer) error {
	l.lastID++
	if err := l.machine.Join(l.lastID, c.size); err != nil {
		return err
	}
	c.id = l.lastID
	l.consumers[c.id] = c
	return nil
}

// leave forgets a consumer, and drops it if there is a reason.
func (l *groupLoop) leave(c *consumer, why error) {
	if l.consumers[c.id] != c {
		return
	}
	delete(l.consumers, c.id)
	l.machine.Leave(c.id)
	if why != nil {
		c.drop(why)
	}
}

func (l *groupLoop) dropAll(why error) {
	for _, c := range l.consumers {
		l.leave(c, why)
	}
}

// work reads, hands out and has things stored; it reports whether there is more to be read now.
func (l *groupLoop) work() (more bool) {
	if l.machine == nil {
		return false
	}
	more, err := l.read()
	if err == nil {
		var replays bool
		replays, err = l.readParked()
		more = more || replays
	}
	if err != nil {
		// Nobody can be served from here on. Who connects again makes the group try again.
		if !errors.Is(err, engine.ErrClosed) && !errors.Is(err, engine.ErrStreamDeleted) {
			l.log.Error("event store: a group can't read its source; its consumers are dropped", "error", err)
		}
		l.dropAll(err)
		more = false
	}
	l.effect(l.machine.Advance(time.Now()))
	return more
}

// read brings the next events of the source if there is room for them.
func (l *groupLoop) read() (more bool, err error) {
	room := l.machine.Room()
	if room == 0 || l.changed != nil {
		return false, nil
	}
	changed := l.source.watch()
	n := min(room, pageAtOnce)
	if l.source.filter == nil { // what is filtered out fills no buffer
		n = min(n, int(l.cfg.ReadBatch))
	}
	seen, end, err := l.source.read(n)
	if err != nil {
		return false, err
	}
	for _, s := range seen {
		if !s.matches {
			l.machine.Pass(s.ref.At, s.counts)
			continue
		}
		l.machine.Offer(s.ref)
		if w := weight(s.record); l.bytes+w <= bufferBytes {
			l.records[s.ref.At] = s.record
			l.bytes += w
		}
	}
	if end {
		l.changed = changed
	}
	return !end, nil
}

// readParked brings parked messages that are to be replayed.
func (l *groupLoop) readParked() (more bool, err error) {
	from, room := l.machine.NextReplay()
	if room == 0 {
		return false, nil
	}
	refs, next, end, err := l.source.parkedRefs(from, min(room, pageAtOnce))
	if err != nil {
		return false, err
	}
	for _, r := range refs {
		l.machine.OfferReplay(r)
	}
	if next > from {
		l.machine.PassReplay(next - 1)
	}
	if end {
		l.machine.EndReplay()
	}
	return !end, nil
}

func (l *groupLoop) effect(fx groups.Effects) {
	for _, d := range fx.Deliveries {
		c := l.consumers[d.To]
		var record *engine.Record
		if !d.Replay {
			if record = l.records[d.At]; record != nil {
				delete(l.records, d.At)
				l.bytes -= weight(record)
			}
		}
		c.push(d, record, l.machine.Holds)
		c.sent.total++
		l.delivered.total++
	}
	l.pending.parkings = append(l.pending.parkings, fx.Parkings...)
	if fx.Save {
		l.pending.save, l.pending.checkpoint = true, fx.Checkpoint
	}
	if fx.Truncate {
		l.pending.truncate, l.pending.below = true, fx.Below
	}
	l.write()
}

// write hands what is to be stored to the writer, if it is free.
func (l *groupLoop) write() {
	if l.writing || l.pending.empty() {
		return
	}
	job := l.pending
	l.pending = writeJob{}
	if len(job.parkings) > parksAtOnce {
		l.pending.parkings = job.parkings[parksAtOnce:]
		job.parkings = job.parkings[:parksAtOnce:parksAtOnce]
	}
	l.writing = true
	go func() { l.outcomes <- l.store.write(job, l.source.load) }()
}

func (l *groupLoop) wrote(o writeOutcome) {
	l.writing = false
	for _, err := range []error{o.parkFailed, o.saveFailed, o.hideFailed} {
		if err != nil && !errors.Is(err, engine.ErrClosed) {
			l.log.Error("event store: a group can't write its own streams; it tries again", "error", err)
		}
	}
	if len(o.job.parkings) > 0 {
		ids := make([]groups.ID, len(o.job.parkings))
		for i, p := range o.job.parkings {
			ids[i] = p.ID
		}
		l.machine.Parked(o.parkFailed == nil, ids...)
	}
	if o.job.save {
		l.machine.Checkpointed(o.saveFailed == nil)
	}
	if o.job.truncate {
		l.machine.Truncated(o.hideFailed == nil)
	}
}

// ticks returns the clock's channel; nil while the group needs no clock.
func (l *groupLoop) ticks() <-chan time.Time {
	if l.machine == nil || l.machine.Quiet() {
		if l.ticker != nil {
			l.ticker.Stop()
			l.ticker = nil
		}
		return nil
	}
	if l.ticker == nil {
		l.ticker = time.NewTicker(groupTick)
	}
	return l.ticker.C
}

func (l *groupLoop) tick() {
	now := time.Now()
	l.machine.Tick(now)
	l.delivered.sample(now)
	for _, c := range l.consumers {
		c.sent.sample(now)
	}
}

func (l *groupLoop) halt(why error) {
	l.quit = true
	l.dropAll(why)
}

// finish stores what can be stored before the goroutine ends.
func (l *groupLoop) finish() {
	if l.ticker != nil {
		l.ticker.Stop()
	}
	if l.machine == nil {
		return
	}
	l.drain()
	l.machine.Flush()
	l.effect(l.machine.Advance(time.Now()))
	l.drain()
}

// drain waits for the writer, until there is nothing left for it or it fails.
func (l *groupLoop) drain() {
	for l.writing {
		o := <-l.outcomes
		l.wrote(o)
		if o.parkFailed == nil && o.saveFailed == nil && o.hideFailed == nil {
			l.write()
		}
	}
}
