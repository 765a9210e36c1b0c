package projections

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// decoded is an event as all projections of a group share it: decoded once, or the reason why it can't be.
type decoded struct {
	Event
	err error
}

// decodeTogether is how many events are worth a goroutine.
const decodeTogether = 64

// decode reads bodies and envelopes, on all cores: it is half of what a fold costs outside Postgres. Errors are kept for
// the projections that don't ignore the type.
func decode(decodeBody func(string, []byte) (any, error), events []eventstore.Recorded) []decoded {
	out := make([]decoded, len(events))
	var wg sync.WaitGroup
	size := max(decodeTogether, (len(events)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for from := 0; from < len(events); from += size {
		part := out[from:min(from+size, len(out))]
		work := func() {
			for i := range part {
				part[i] = decodeOne(decodeBody, events[from+i])
			}
		}
		if len(part) == len(out) {
			work()
		} else {
			wg.Go(work)
		}
	}
	wg.Wait()
	return out
}

func decodeOne(decodeBody func(string, []byte) (any, error), r eventstore.Recorded) decoded {
	d := decoded{Event: Event{Recorded: r}}
	if d.Meta, d.err = eventstore.DecodeMetadata(r.Metadata); d.err == nil {
		d.err = caught(func() (err error) { d.Body, err = decodeBody(r.Type, r.Data); return err })
	}
	return d
}

// work is what one batch means to one projection: the events of each touched row, in order.
type work struct {
	projection Projection
	rows       []*rowWork // sorted by key, so that two projectors lock rows in one order
	byKey      map[string]*rowWork
	parked     []parkedEvent // of streams
	streams    []string      // whose events the batch holds
	taken      int64         // events of the categories, ignored ones included
	last       *eventstore.Recorded
}

type rowWork struct {
	key    string
	events []Event
	behind bool  // the row is parked already: all events wait
	done   int   // how many of the events are in the loaded row already; 0 but for isolate
	failed int   // index of the first event that could not be folded; -1 if none
	cause  error // why
	row    any   // after the fold
}

type parkedEvent struct {
	scope, key string
	event      eventstore.Recorded
	cause      error // nil for an event that only waits
}

// plan finds the rows that the events concern. closed holds the streams that are parked already; plan adds to it.
func plan(p Projection, events []decoded, closed map[string]bool) *work {
	w := &work{projection: p, byKey: map[string]*rowWork{}}
	for i := range events {
		e := &events[i]
		if !p.concerns(e.Stream.Category()) {
			continue
		}
		w.taken++
		w.last = &e.Recorded
		if !p.ignore[e.Type] {
			w.take(e, closed)
		}
	}
	slices.SortFunc(w.rows, func(a, b *rowWork) int { return cmp.Compare(a.key, b.key) })
	return w
}

func (w *work) take(e *decoded, closed map[string]bool) {
	stream := string(e.Stream)
	if closed[stream] {
		w.parked = append(w.parked, parkedEvent{scope: "stream", key: stream, event: e.Recorded})
		return
	}
	keys, err := keysOf(w.projection, e)
	if err != nil {
		closed[stream] = true
		w.parked = append(w.parked, parkedEvent{scope: "stream", key: stream, event: e.Recorded, cause: err})
		return
	}
	w.streams = append(w.streams, stream)
	for _, key := range keys {
		r := w.byKey[key]
		if r == nil {
			r = &rowWork{key: key, failed: -1}
			w.byKey[key], w.rows = r, append(w.rows, r)
		}
		r.events = append(r.events, e.Event)
	}
}

func keysOf(p Projection, e *decoded) ([]string, error) {
	if e.err != nil {
		return nil, e.err
	}
	var keys []string
	if err := caught(func() error { keys = p.keys(e.Event); return nil }); err != nil {
		return nil, err
	}
	if keys == nil || slices.ContainsFunc(keys, unfit) {
		return nil, ErrNoKey.Because("no row, or one that can't be named, for %s", e.Type)
	}
	if len(keys) > 1 {
		keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	}
	return keys, nil
}

// unfit reports whether Postgres can't hold the key in an index.
func unfit(key string) bool {
	return key == "" || len(key) > 1000 || strings.ContainsRune(key, 0) || !utf8.ValidString(key)
}

// keys of the rows to load.
func (w *work) keys() []string {
	keys := make([]string, len(w.rows))
	for i, r := range w.rows {
		keys[i] = r.key
	}
	return keys
}

// fold applies the events to the loaded rows. A fold that fails may have left its row half changed, so fold returns the
// keys of such rows: load them anew and call refold. REQUIRES: loaded is nobody else's.
func (w *work) fold(loaded map[string]any) (spoilt []string) {
	for _, r := range w.rows {
		if r.behind {
			continue
		}
		r.start(w.projection, loaded[r.key])
		for i := range r.events {
			if r.cause = r.step(w.projection, i); r.cause != nil {
				r.failed = i
				spoilt = append(spoilt, r.key)
				break
			}
		}
	}
	return spoilt
}

// refold brings spoilt rows to the state before the event that failed.
func (w *work) refold(spoilt []string, loaded map[string]any) error {
	for _, key := range spoilt {
		r := w.byKey[key]
		r.start(w.projection, loaded[key])
		for i := r.done; i < r.failed; i++ {
			if err := r.step(w.projection, i); err != nil {
				return fault.Wrap(err, fault.Internal, "FOLD_NOT_PURE", "a fold took an event and refused it the second time")
			}
		}
	}
	return nil
}

func (r *rowWork) start(p Projection, loaded any) {
	if r.row = loaded; r.row == nil {
		r.row = p.table.blank(r.key)
	}
}

func (r *rowWork) step(p Projection, i int) error {
	e := r.events[i]
	if err := caught(func() error { return p.apply(r.row, e) }); err != nil {
		return err
	}
	h := head(r.row)
	h.ID, h.Position = r.key, int64(e.Position)
	h.Events++
	return nil
}

// changed returns the rows to be written.
func (w *work) changed() []any {
	rows := make([]any, 0, len(w.rows))
	for _, r := range w.rows {
		if !r.behind && r.failed != 0 {
			rows = append(rows, r.row)
		}
	}
	return rows
}

// newlyParked returns what the batch parks: of streams, and of rows from the event that failed.
func (w *work) newlyParked() []parkedEvent {
	out := w.parked
	for _, r := range w.rows {
		from := len(r.events)
		switch {
		case r.behind:
			from = 0
		case r.failed >= 0:
			from = r.failed
		}
		for i, e := range r.events[from:] {
			p := parkedEvent{scope: "row", key: r.key, event: e.Recorded}
			if i == 0 && !r.behind {
				p.cause = r.cause
			}
			out = append(out, p)
		}
	}
	return out
}

// panicked carries the stack of a fold that panicked.
type panicked struct {
	value any
	stack string
}

func (p panicked) Error() string { return fmt.Sprint("panic: ", p.value) }

// caught turns a panic into an error.
func caught(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{value: v, stack: string(debug.Stack())}
		}
	}()
	return f()
}

// diagnosis is what is kept of a failure: nothing of the event's content, so nothing personal.
func diagnosis(err error) (code, cause, stack string) {
	if err == nil {
		return "", "", ""
	}
	if p := (panicked{}); errors.As(err, &p) {
		return ErrPanicked.Code, printable(p.Error()), printable(p.stack)
	}
	return fault.CodeOf(err), printable(err.Error()), ""
}

// printable is what a text column takes, 8 KiB at most.
func printable(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	if len(s) > 8<<10 {
		s = strings.ToValidUTF8(s[:8<<10], "")
	}
	return s
}
