package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/annalhq/annal/eventstore/engine"
)

// groupRegistry knows all groups. They are kept in the log: one event a change, in the stream $persistentSubscriptionConfig, read when
// the first call asks for a group. A change is durable before it has an effect.
type groupRegistry struct {
	s *Server

	changing sync.Mutex // held while a change is decided, stored and made: one at a time

	mu     sync.Mutex
	closed bool
	all    map[groupKey]*group // nil: not read yet
}

// with calls f with a group. If the group is replaced while f asks it, f is called with the new one.
func (r *groupRegistry) with(ctx context.Context, key groupKey, f func(*group) error) error {
	const attempts = 3 // more changes than that within one call are a reason to tell the client
	var err error
	for range attempts {
		g, found := r.find(key)
		if found != nil {
			return found
		}
		if err = f(g); !errors.Is(err, errGroupDropped) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (r *groupRegistry) find(key groupKey) (*group, error) {
	all, err := r.loaded()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := all[key]; g != nil {
		return g, nil
	}
	return nil, errGroupMissing
}

// list returns the groups that match, in the order of their names.
func (r *groupRegistry) list(matches func(groupKey) bool) ([]*group, error) {
	all, err := r.loaded()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found := slices.DeleteFunc(slices.Collect(maps.Values(all)), func(g *group) bool { return !matches(g.key) })
	slices.SortFunc(found, func(a, b *group) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return found, nil
}

// loaded returns the groups; the map is guarded by mu.
func (r *groupRegistry) loaded() (map[groupKey]*group, error) {
	if all := r.current(); all != nil {
		return all, nil
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.load()
}

func (r *groupRegistry) current() map[groupKey]*group {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// load reads the groups if they aren't there. REQUIRES: changing is held.
func (r *groupRegistry) load() (map[groupKey]*group, error) {
	if all := r.current(); all != nil {
		return all, nil
	}
	configs, err := r.read()
	if err != nil {
		return nil, err
	}
	all := make(map[groupKey]*group, len(configs))
	for key, cfg := range configs {
		if all[key], err = newGroup(r.s, cfg); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errStopping()
	}
	r.all = all
	return all, nil
}

func (r *groupRegistry) read() (map[groupKey]*groupConfig, error) {
	configs := map[groupKey]*groupConfig{}
	for next := engine.Revision(0); ; {
		page, err := r.s.db.ReadStream(groupsStream, next, engine.Forwards, pageSize)
		if errors.Is(err, engine.ErrStreamMissing) {
			return configs, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Records {
			if err := apply(configs, &page.Records[i]); err != nil {
				// Anybody may write there: what is not ours is no reason to forget the groups.
				r.s.cfg.Logger.Warn("event store: an event among the persistent subscriptions is not understood", "position", page.Records[i].Position, "error", err)
			}
		}
		if page.End {
			return configs, nil
		}
		next = page.Next
	}
}

// apply is the fold of the changes.
func apply(configs map[groupKey]*groupConfig, r *engine.Record) error {
	switch r.Type {
	case groupSetType:
		cfg := &groupConfig{}
		if err := json.Unmarshal(r.Data, cfg); err != nil {
			return err
		}
		if why := cfg.reason(); why != "" {
			return invalid(why)
		}
		if err := errors.Join(cfg.check(), filterError(cfg)); err != nil {
			return err
		}
		cfg.since(r.Position)
		configs[cfg.groupKey] = cfg
	case groupDeletedType:
		var key groupKey
		if err := json.Unmarshal(r.Data, &key); err != nil {
			return err
		}
		delete(configs, key)
	default:
		return invalid("its type is " + r.Type)
	}
	return nil
}

func filterError(cfg *groupConfig) error {
	_, err := cfg.Filter.compile()
	return err
}

// since is told where the change stands in the log: a group of $all that begins at the end begins behind that.
func (c *groupConfig) since(p engine.Position) {
	if c.ofAll() && c.FromEnd {
		c.Next = uint64(p) + 1
	}
}

// set creates a group or updates one. Consumers of the old one are dropped.
func (r *groupRegistry) set(ctx context.Context, cfg *groupConfig, create bool) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	all, err := r.load()
	if err != nil {
		return err
	}
	r.mu.Lock()
	old, used := all[cfg.groupKey], taken(all, cfg.groupKey)
	r.mu.Unlock()
	switch {
	case create && (old != nil || used):
		return errGroupExists
	case !create && old == nil:
		return errGroupMissing
	case !create:
		cfg.Filter = old.cfg.Filter
	}
	if err := r.resolveEnd(cfg); err != nil {
		return err
	}
	g, err := newGroup(r.s, cfg)
	if err != nil {
		return err
	}
	if create {
		// A deletion may have been interrupted: a checkpoint of a former group of this name would hide events from this one.
		if err := g.store.clear(ctx); err != nil {
			return err
		}
	}
	at, err := r.record(ctx, groupSetType, cfg)
	if err != nil {
		return err
	}
	cfg.since(at)
	if old != nil {
		old.end(errGroupDropped)
	}
	r.put(cfg.groupKey, g)
	return nil
}

// resolveEnd finds out what the end of a stream is; that of the log is known when the change is stored.
func (r *groupRegistry) resolveEnd(cfg *groupConfig) error {
	if !cfg.FromEnd || cfg.ofAll() {
		return nil
	}
	source := groupSource{db: r.s.db, cfg: cfg}
	_, next, err := source.last()
	cfg.Next = next
	return err
}

// delete removes a group, drops its consumers, and deletes its streams.
func (r *groupRegistry) delete(ctx context.Context, key groupKey) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	all, err := r.load()
	if err != nil {
		return err
	}
	r.mu.Lock()
	old := all[key]
	r.mu.Unlock()
	if old == nil {
		return errGroupMissing
	}
	if _, err := r.record(ctx, groupDeletedType, key); err != nil {
		return err
	}
	r.put(key, nil)
	old.end(errGroupDropped)
	err = old.store.clear(ctx)
	if ended := (*streamEnded)(nil); errors.As(err, &ended) {
		return nil // there is nothing left of it either
	}
	return err
}

// record makes a change durable. If that is not certain, the groups are read again before anything else.
func (r *groupRegistry) record(ctx context.Context, kind string, change any) (engine.Position, error) {
	e, err := groupEvent(kind, change)
	if err != nil {
		return 0, err
	}
	done, err := r.s.db.Append(ctx, groupsStream, engine.ExpectAny, []engine.Event{e})
	if errors.Is(err, engine.ErrOutcomeUnknown) {
		r.forget(errGroupDropped)
	}
	return done.Position, err
}

func (r *groupRegistry) put(key groupKey, g *group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g == nil {
		delete(r.all, key)
		return
	}
	r.all[key] = g
}

// restart drops all consumers and reads the groups again when they are asked for.
func (r *groupRegistry) restart() {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.forget(errGroupDropped)
}

// close ends all groups for good.
func (r *groupRegistry) close() {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.forget(errStopping())
}

// forget ends all groups. REQUIRES: changing is held.
func (r *groupRegistry) forget(why error) {
	r.mu.Lock()
	all := r.all
	r.all = nil
	r.mu.Unlock()
	var ending sync.WaitGroup
	for _, g := range all {
		if g.started() {
			ending.Go(func() { g.end(why) })
		} else {
			g.end(why)
		}
	}
	ending.Wait()
}

// taken reports whether a group of another source has the name: "a" and "b::c" are written as "a::b" and "c", and so are their streams.
func taken(all map[groupKey]*group, key groupKey) bool {
	for k := range all {
		if k != key && k.String() == key.String() {
			return true
		}
	}
	return false
}
