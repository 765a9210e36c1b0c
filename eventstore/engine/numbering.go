package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// A revision that was given is never given to another event. A scavenge keeps to that by leaving every stream its last event; a log that ends
// before that event has only stubs of the stream, and an append would begin again at a number that an event had. So a restore ends
// where each scavenged stream still has what came behind its stubs, and is refused elsewhere. (Marks for streams without events were the
// alternative: a kind of stream that every reader, the leader and the verification would have to know, for restores that nearly nobody wants.)
type numbering struct {
	p     *pebble.DB
	known generations[string, entry] // of a stream: what follows its stubs
}

func newNumbering(p *pebble.DB) *numbering {
	return &numbering{p: p, known: newGenerations[string, entry](cachedHeads)}
}

// earliest returns the first position from at on where the log can end; End if there is none. Stubs before from are not asked.
func (n *numbering) earliest(ctx context.Context, from, at Position) (need Position, err error) {
	it, err := n.p.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, from), UpperBound: []byte{keyEvent + 1}})
	if err != nil {
		return 0, readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	need = at
	for ok := it.First(); ok && need != End; ok = it.Next() {
		p, ok := decodeEventKey(it.Key())
		if !ok {
			return 0, corrupt(need, "the record is missing")
		}
		if p > need {
			break
		}
		if p%8192 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		rec, err := decodeRecord(p, it.Value())
		if err == nil {
			continue
		}
		if !errors.Is(err, errScavenged) {
			return 0, corrupt(p, "%v", err)
		}
		e, err := n.follower(&rec)
		if err != nil {
			return 0, err
		}
		need = max(need, e.position)
	}
	return need, readFault(it.Error())
}

// follower finds the first event behind a stub that tells that the stub's revision was given: a later one of its stream, or the tombstone of
// the stream that it described.
func (n *numbering) follower(stub *Record) (entry, error) {
	if e, ok := n.known.get(stub.Stream); ok && e.revision > stub.Revision {
		return e, nil
	}
	e := entry{revision: Tombstone, position: End}
	name, from := stub.Stream, stub.Revision+1
	id, err := idOf(n.p, name)
	if parent, metadata := strings.CutPrefix(name, MetadataPrefix); err == nil && id == 0 && metadata {
		from = Tombstone
		id, err = idOf(n.p, parent)
	}
	if err == nil && id != 0 {
		err = n.seek(id, from, &e)
	}
	if err == nil {
		n.known.put(stub.Stream, e)
	}
	return e, err
}

// seek sets e to a stream's first event from a revision on, if there is one.
func (n *numbering) seek(id Position, from Revision, e *entry) (err error) {
	it, err := n.p.NewIter(&pebble.IterOptions{LowerBound: appendStreamKey(nil, id, from), UpperBound: appendStreamKey(nil, id+1, 0)})
	if err != nil {
		return readFault(err)
	}
	defer func() { err = errors.Join(err, readFault(it.Close())) }()
	if !it.First() {
		return readFault(it.Error())
	}
	found, ok := decodeEntry(it.Key(), it.Value())
	if !ok {
		return corrupt(id, "an index entry is malformed")
	}
	*e = found
	return nil
}

// refuse says where a restore that can't end at p could.
func refuse(p, need, last Position) error {
	where := "a later position"
	if need <= last {
		where = fmt.Sprintf("%d or later", need)
	}
	return ErrRestorePoint.Because("position %d lies before what a scavenge left of some streams, whose revisions would be given a second time; "+
		"restore to %s, or from a backup taken before the scavenge", p, where)
}
