package server

import "sync/atomic"

// A budget bounds the memory that appends hold together, from their first event until they are answered. Who finds nothing left is
// refused, not kept waiting: those who hold it may wait for somebody else.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }
