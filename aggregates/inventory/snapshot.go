package inventory

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"slices"

	"github.com/annalhq/annal/internal/fault"
)

// SnapshotSchema is the version of what Snapshot writes. It is raised whenever the form changes, and whenever Evolve would
// make another State of the same events: snapshots of another version are never read.
const SnapshotSchema = 1

// ErrSnapshot refuses what Snapshot did not write.
var ErrSnapshot = fault.New(fault.Internal, "SNAPSHOT_MALFORMED", "not a snapshot of a SKU's stock")

// snapshot is the JSON of a State: its lines in columns, which is a third of the size and time of an object a line.
type snapshot struct {
	OnHand     int64    `json:"onHand"`
	Reserved   int64    `json:"reserved"`
	Threshold  int64    `json:"threshold"`
	Orders     []string `json:"orders"` // of each line; ascending, then by number
	Lines      []int    `json:"lines"`
	Steps      []Step   `json:"steps"` // base64, a byte a line
	Quantities []int64  `json:"quantities"`
	Why        []int    `json:"why"` // of each line: 0, or the number of its reason from 1
	Reasons    []string `json:"reasons"`
	Backs      []back   `json:"backs"` // lines of which units came back
}

type back struct {
	Row      int      `json:"row"`
	Quantity int64    `json:"quantity"`
	Returns  []string `json:"returns"`
}

// Snapshot returns the state's JSON: equal states give equal bytes.
func (s State) Snapshot() ([]byte, error) {
	rows := slices.SortedFunc(s.lines.all(), func(a, b cell) int { return a.key.compare(b.key) })
	out := snapshot{OnHand: s.OnHand, Reserved: s.Reserved, Threshold: s.Threshold}
	numbers := map[string]int{"": 0}
	for i, row := range rows {
		e := row.entry
		number, known := numbers[e.Reason]
		if !known {
			out.Reasons = append(out.Reasons, e.Reason)
			number = len(out.Reasons)
			numbers[e.Reason] = number
		}
		out.Orders, out.Lines, out.Steps = append(out.Orders, row.key.order), append(out.Lines, row.key.line), append(out.Steps, e.Step)
		out.Quantities, out.Why = append(out.Quantities, e.Quantity), append(out.Why, number)
		if e.Returned != 0 || len(e.Returns) > 0 {
			out.Backs = append(out.Backs, back{Row: i, Quantity: e.Returned, Returns: e.Returns})
		}
	}
	data, err := json.Marshal(out)
	return data, fault.Wrap(err, ErrSnapshot.Kind, ErrSnapshot.Code, "the stock can't be encoded")
}

// Restore returns the state that Snapshot wrote. Fault: ErrSnapshot, also if what it says contradicts itself.
func Restore(data []byte) (State, error) {
	var in snapshot
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in) != nil { // what a decoder says may repeat the data
		return State{}, ErrSnapshot
	}
	cells, ok := in.cells()
	if !ok {
		return State{}, ErrSnapshot
	}
	return State{OnHand: in.OnHand, Reserved: in.Reserved, Threshold: in.Threshold, lines: ledgerOf(cells)}, nil
}

// cells returns the lines, or false if the columns don't fit each other or don't add up to what is reserved.
func (in snapshot) cells() ([]cell, bool) {
	n := len(in.Orders)
	if len(in.Lines) != n || len(in.Steps) != n || len(in.Quantities) != n || len(in.Why) != n {
		return nil, false
	}
	cells, held := make([]cell, n), int64(0)
	for i := range cells {
		c := cell{key{in.Orders[i], in.Lines[i]}, Entry{Step: in.Steps[i], Quantity: in.Quantities[i]}}
		if why := in.Why[i]; why < 0 || why > len(in.Reasons) {
			return nil, false
		} else if why > 0 {
			c.entry.Reason = in.Reasons[why-1]
		}
		if i > 0 && cells[i-1].key.compare(c.key) >= 0 {
			return nil, false
		}
		if c.entry.Step == Held {
			held += c.entry.Quantity
		}
		cells[i] = c
	}
	for _, b := range in.Backs {
		if b.Row < 0 || b.Row >= n {
			return nil, false
		}
		cells[b.Row].entry.Returned, cells[b.Row].entry.Returns = b.Quantity, b.Returns
	}
	return cells, held == in.Reserved
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.order, o.order), cmp.Compare(k.line, o.line))
}

// all yields the ledger's cells in no order.
func (l ledger) all() iter.Seq[cell] {
	return func(yield func(cell) bool) { l.root.each(yield) }
}

func (n *node) each(yield func(cell) bool) bool {
	if n == nil {
		return true
	}
	for _, c := range n.bucket {
		if !yield(c) {
			return false
		}
	}
	if n.kids != nil {
		for _, kid := range n.kids {
			if !kid.each(yield) {
				return false
			}
		}
	}
	return true
}

// ledgerOf returns the ledger of cells with different keys. It builds from the top, each node once: a tenth of the work of
// as many puts.
func ledgerOf(cells []cell) ledger { return ledger{root: grow(cells, 0), size: len(cells)} }

// grow returns the node over the cells, whose hashes have been used up to used.
func grow(cells []cell, used int) *node {
	if len(cells) == 0 {
		return nil
	}
	if len(cells) <= bucketSize || used >= hashBits {
		return &node{bucket: slices.Clone(cells)}
	}
	var parts [16][]cell
	for _, c := range cells {
		at := c.key.hash() >> used & 15
		parts[at] = append(parts[at], c)
	}
	var kids [16]*node
	for i, part := range parts {
		kids[i] = grow(part, used+4)
	}
	return &node{kids: &kids}
}
