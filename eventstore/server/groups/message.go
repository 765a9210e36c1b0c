package groups

import (
	"cmp"
	"slices"
	"time"
)

// state is where a message is.
type state uint8

const (
	waiting  state = iota // read, not sent
	flying                // with a consumer
	retrying              // to be sent again
	parking               // being put into the parked stream
	done
)

// mark is a place in the source, and how many events that count were looked at up to there.
type mark struct {
	at    uint64
	count uint64
	known bool // false: before the first event
}

type message struct {
	Ref
	reason  string // why it is parked
	before  mark   // how far the source had been looked at before it
	due     time.Time
	holder  *consumer // while flying
	retries int32
	state   state
}

// inOrder is the order in which messages are sent again: the source's first, then the replayed ones.
func inOrder(a, b *message) int {
	if a.Replay != b.Replay {
		if a.Replay {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.At, b.At)
}

// queue is a list from which messages are mostly taken at the front.
type queue struct {
	items []*message // items[:head] are nil
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(ms ...*message) {
	if q.head > len(q.items)/2 {
		q.items = slices.Delete(q.items, 0, q.head)
		q.head = 0
	}
	q.items = append(q.items, ms...)
}

// insert keeps the queue in order. One message finds its place, many are sorted in.
func (q *queue) insert(ms ...*message) {
	if len(ms) == 1 {
		at, _ := slices.BinarySearchFunc(q.items[q.head:], ms[0], inOrder)
		if at > 0 || q.head == 0 {
			q.items = slices.Insert(q.items, q.head+at, ms[0])
			return
		}
		q.head--
		q.items[q.head] = ms[0]
		return
	}
	q.push(ms...)
	slices.SortFunc(q.items[q.head:], inOrder)
}

// verdict is what becomes of a message that a scan has looked at.
type verdict uint8

const (
	take verdict = iota // it leaves the queue
	keep                // it stays, those behind it are looked at
	stop                // it stays, and so do those behind it
)

// scan offers the messages in order. Taking costs as much as the messages before that stay.
func (q *queue) scan(try func(*message) verdict) {
	kept, i := 0, q.head
	for ; i < len(q.items); i++ {
		v := try(q.items[i])
		if v == stop {
			break
		}
		if v == keep {
			q.items[q.head+kept] = q.items[i]
			kept++
		}
	}
	q.close(kept, i)
}

// close moves the kept messages, which stand at the head, up to the first that was not looked at.
func (q *queue) close(kept, i int) {
	first := i - kept
	if first > q.head {
		copy(q.items[first:i], q.items[q.head:q.head+kept])
		clear(q.items[q.head:first])
	}
	q.head = first
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// window holds messages in the order of their source and knows the first that is not done. Those that are done are dropped from the
// front, and everywhere when they are the most: one message that nobody answers doesn't keep all later ones in memory.
type window struct {
	items []*message
	head  int
	done  int // of items[head:]
}

func (w *window) push(m *message) { w.items = append(w.items, m) }

// settle is called when a message of the window has become done.
func (w *window) settle() {
	w.done++
	for w.head < len(w.items) && w.items[w.head].state == done {
		w.items[w.head] = nil
		w.head++
		w.done--
	}
	if live := len(w.items) - w.head - w.done; w.head+w.done > live+64 {
		w.items = slices.DeleteFunc(w.items, func(m *message) bool { return m == nil || m.state == done })
		w.head, w.done = 0, 0
	}
}

// oldest returns the first message that is not done, nil if all are.
func (w *window) oldest() *message {
	if w.head == len(w.items) {
		return nil
	}
	return w.items[w.head]
}
