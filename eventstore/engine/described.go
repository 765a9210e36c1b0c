package engine

import (
	"errors"
	"hash/maphash"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Sizes of the filter: at the limit, one in eighty streams without metadata is taken for one with.
const (
	describedWords  = 1 << 14 // of 64 bits: 128 KiB
	describedHashes = 4
	describedLimit  = 100_000 // names; Open reads no more
)

// described knows which streams may have metadata: a Bloom filter of fixed size over the names that "$$" stands before. Nearly no stream
// has any, and whoever writes or reads one would look for it on the disk each time. Positions don't matter here: a name gets in before
// its first event becomes visible, and a reader who is told "maybe" looks. Beyond its limit it says "maybe" to all.
//
// Only the leader adds; anybody asks.
type described struct {
	seed  maphash.Seed
	names int // the leader's
	limit int // of names
	full  atomic.Bool
	words [describedWords]atomic.Uint64
}

// load fills the filter with the names in p.
func (d *described) load(p *pebble.DB) (err error) {
	d.seed, d.limit = maphash.MakeSeed(), describedLimit
	lower := appendNameKey(nil, MetadataPrefix)
	upper := appendNameKey(nil, "$%") // '%' follows '$'
	it, err := p.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	for ok := it.First(); ok && !d.full.Load(); ok = it.Next() {
		d.add(string(it.Key()[len(lower):]))
	}
	return readFault(it.Error())
}

// add notes that stream has metadata.
func (d *described) add(stream string) {
	if d.names++; d.names > d.limit {
		d.full.Store(true)
		return
	}
	h := maphash.String(d.seed, stream)
	for i := range uint64(describedHashes) {
		word, bit := d.at(h, i)
		word.Or(bit)
	}
}

// may reports whether stream may have metadata; false is certain.
func (d *described) may(stream string) bool {
	if d.full.Load() {
		return true
	}
	h := maphash.String(d.seed, stream)
	for i := range uint64(describedHashes) {
		if word, bit := d.at(h, i); word.Load()&bit == 0 {
			return false
		}
	}
	return true
}

// at finds the i-th bit of a hash: double hashing (Kirsch and Mitzenmacher, 2006).
func (d *described) at(h, i uint64) (*atomic.Uint64, uint64) {
	n := (h + i*(h>>32|1)) % (64 * describedWords)
	return &d.words[n/64], 1 << (n % 64)
}
