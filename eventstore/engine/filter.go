package engine

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Sizes of the filters: at the limit, one name in eighty that is not there is taken for one that may be.
const (
	filterHashes   = 4
	filterBits     = 10        // for each name, at least
	describedLimit = 100_000   // names that Open reads, 128 KiB
	knownLimit     = 1_600_000 // 2 MiB
)

// A filter knows which names may be there: a Bloom filter of fixed size. Whoever is told "no" needn't look on the disk, and "no" is certain:
// a name gets in before its first event becomes visible. Until all names of the log have been read into it, and in a log with more of
// them than its limit, it says "maybe" to all.
//
// The engine has two. Nearly no stream has metadata, and whoever writes or reads one would look for it each time. Every order, payment and shipment
// of a shop begins a stream, and to search the newest tables for a name that is not there costs about as much as writing it.
type filter struct {
	seed   maphash.Seed
	prefix string // what stands before the names in the log
	limit  int
	vague  atomic.Bool // not all names are in
	words  []atomic.Uint64
}

func (c Config) filters() (described, known *filter) {
	limits := [...]int{describedLimit, knownLimit}
	if c.names > 0 {
		limits = [...]int{c.names, c.names}
	}
	return newFilter(MetadataPrefix, limits[0]), newFilter("", limits[1])
}

func newFilter(prefix string, limit int) *filter {
	words := 1 << bits.Len(uint(limit*filterBits/64))
	f := &filter{seed: maphash.MakeSeed(), prefix: prefix, limit: limit, words: make([]atomic.Uint64, words)}
	f.vague.Store(true)
	return f
}

// load reads the names that are in p, and ends early, without an error, when stop is closed. Others may add and ask meanwhile.
func (f *filter) load(p *pebble.DB, stop <-chan struct{}) (err error) {
	lower := appendNameKey(nil, f.prefix)
	upper := append([]byte(nil), lower...)
	upper[len(upper)-1]++
	it, err := p.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > f.limit {
			return nil
		}
		if n%1024 == 0 && closed(stop) {
			return nil
		}
		f.add(string(it.Key()[len(lower):]))
	}
	if err := it.Error(); err != nil {
		return readFault(err)
	}
	f.vague.Store(false)
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// add notes that name is there.
func (f *filter) add(name string) {
	h := maphash.String(f.seed, name)
	for i := range uint64(filterHashes) {
		word, bit := f.at(h, i)
		word.Or(bit)
	}
}

// may reports whether name may be there; false is certain.
func (f *filter) may(name string) bool {
	if f.vague.Load() {
		return true
	}
	h := maphash.String(f.seed, name)
	for i := range uint64(filterHashes) {
		if word, bit := f.at(h, i); word.Load()&bit == 0 {
			return false
		}
	}
	return true
}

// at finds the i-th bit of a hash: double hashing (Kirsch and Mitzenmacher, 2006).
func (f *filter) at(h, i uint64) (*atomic.Uint64, uint64) {
	n := (h + i*(h>>32|1)) % uint64(64*len(f.words))
	return &f.words[n/64], 1 << (n % 64)
}
