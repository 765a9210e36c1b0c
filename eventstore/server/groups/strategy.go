package groups

import (
	"slices"
)

// Strategy is how messages are spread over the consumers. The names are the protocol's.
type Strategy string

// The strategies.
const (
	RoundRobin          Strategy = "RoundRobin"          // in turn, whoever has a free slot
	DispatchToSingle    Strategy = "DispatchToSingle"    // one consumer, until it is full
	Pinned              Strategy = "Pinned"              // a stream stays with a consumer
	PinnedByCorrelation Strategy = "PinnedByCorrelation" // what belongs together stays with a consumer
)

// ParseStrategy reports whether there is such a strategy.
func ParseStrategy(name string) (Strategy, bool) {
	s := Strategy(name)
	return s, slices.Contains([]Strategy{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation}, s)
}

// consumer is who takes messages.
type consumer struct {
	id      Consumer
	size    int // slots
	held    int // slots taken
	buckets int // pinned to it
}

func (c *consumer) full() bool { return c.held >= c.size }

// strategy chooses consumers.
type strategy interface {
	// pick returns who gets a message, nil if it has to wait.
	pick(all []*consumer, m *message) *consumer
	// left says that all[i] leaves. It is still in all.
	left(all []*consumer, i int)
	// pins reports whether messages go to certain consumers: then one that has to wait doesn't hold up those behind it.
	pins() bool
}

func newStrategy(s Strategy) strategy {
	switch s {
	case DispatchToSingle:
		return &inTurn{stay: true}
	case Pinned, PinnedByCorrelation:
		return &pinned{}
	}
	return &inTurn{}
}

// inTurn gives a message to the next consumer with a free slot; with stay, that one is the next again.
type inTurn struct {
	next int
	stay bool
}

func (s *inTurn) pick(all []*consumer, _ *message) *consumer {
	for i := range all {
		at := (s.next + i) % len(all)
		if c := all[at]; !c.full() {
			s.next = at
			if !s.stay {
				s.next = (at + 1) % len(all)
			}
			return c
		}
	}
	return nil
}

func (s *inTurn) left(all []*consumer, i int) {
	if i < s.next {
		s.next--
	}
	if s.next >= len(all)-1 {
		s.next = 0
	}
}

func (s *inTurn) pins() bool { return false }

// bucketCount is the real server's number: pins are spread over buckets, buckets over consumers.
const bucketCount = 1024

func bucketOf(m *message) uint64 { return m.Pin % bucketCount }

// pinned keeps a bucket at the consumer that had the fewest when the bucket was first needed, until that leaves.
type pinned struct {
	owners [bucketCount]*consumer
}

func (s *pinned) pick(all []*consumer, m *message) *consumer {
	b := bucketOf(m)
	c := s.owners[b]
	if c == nil {
		if len(all) == 0 {
			return nil
		}
		c = slices.MinFunc(all, func(a, b *consumer) int { return a.buckets - b.buckets })
		s.owners[b] = c
		c.buckets++
	}
	if c.full() {
		return nil
	}
	return c
}

func (s *pinned) left(all []*consumer, i int) {
	for b, c := range s.owners {
		if c == all[i] {
			s.owners[b] = nil
		}
	}
}

func (s *pinned) pins() bool { return true }

// PinOf hashes what a pinned strategy keeps together (FNV-1a, 64 bits).
func PinOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h ^= uint64(name[i])
		h *= 1099511628211
	}
	return h
}
