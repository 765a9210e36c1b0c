package inventory

// A ledger is a persistent map from an order's line to its Entry: put returns a new ledger and leaves the old one as it
// was, sharing all but one path. It is a hash trie with 16-way branches and small buckets (Bagwell, Ideal Hash Trees,
// 2001, without the bitmap). A Go map would have to be cloned for every event, which makes folding a SKU's
// history quadratic in its length; n puts cost n log n here, with about 1 KiB of garbage each.
type ledger struct {
	root *node
	size int
}

type key struct {
	order string
	line  int
}

type node struct {
	bucket []cell     // at most bucketSize cells, unless the hash's bits are used up; nil in a branch
	kids   *[16]*node // nil in a bucket
}

type cell struct {
	key   key
	entry Entry
}

const (
	bucketSize = 8
	hashBits   = 64
)

func (l ledger) get(k key) Entry {
	n, hash := l.root, k.hash()
	for n != nil && n.kids != nil {
		n, hash = n.kids[hash&15], hash>>4
	}
	if n == nil {
		return Entry{}
	}
	for i := range n.bucket {
		if n.bucket[i].key == k {
			return n.bucket[i].entry
		}
	}
	return Entry{}
}

func (l ledger) put(k key, e Entry) ledger {
	root, added := l.root.put(cell{k, e}, k.hash(), 0)
	if added {
		l.size++
	}
	l.root = root
	return l
}

// put returns a copy of n with the cell in it, and whether its key is new. The low bits of hash have been used up to used.
func (n *node) put(c cell, hash uint64, used int) (*node, bool) {
	if n == nil {
		return &node{bucket: []cell{c}}, true
	}
	if n.kids != nil {
		kids := *n.kids
		kid, added := kids[hash&15].put(c, hash>>4, used+4)
		kids[hash&15] = kid
		return &node{kids: &kids}, added
	}
	bucket := make([]cell, len(n.bucket), len(n.bucket)+1)
	copy(bucket, n.bucket)
	for i := range bucket {
		if bucket[i].key == c.key {
			bucket[i] = c
			return &node{bucket: bucket}, false
		}
	}
	bucket = append(bucket, c)
	if len(bucket) <= bucketSize || used >= hashBits {
		return &node{bucket: bucket}, true
	}
	return split(bucket, used), true
}

// split turns a bucket that is too full into a branch.
func split(bucket []cell, used int) *node {
	var kids [16]*node
	for _, c := range bucket {
		hash := c.key.hash() >> used
		kids[hash&15], _ = kids[hash&15].put(c, hash>>4, used+4)
	}
	return &node{kids: &kids}
}

// hash is FNV-1a over order and line, then the finaliser of MurmurHash3, which spreads the last bytes into the low bits.
func (k key) hash() uint64 {
	h := uint64(14695981039346656037)
	for i := range len(k.order) {
		h = (h ^ uint64(k.order[i])) * 1099511628211
	}
	h ^= uint64(k.line)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
