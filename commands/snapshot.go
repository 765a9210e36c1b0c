package commands

import (
	"context"
	"errors"
	"log/slog"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/eventstore"
)

// Snapshots spare reading a long stream from its head (docs/adr/0025-snapshots.md).
//
//	append -> due? -> queue -> Run -> stream snapshot-<stream>, of which the store keeps the newest only
//	load:  the first few events; if the end is not near: newest snapshot, then what follows it
//
// A snapshot is an accelerator and never a record: it may be missing, dropped by an operator, or late. One that is of another
// schema, broken, of another history or newer than the stream is told in the log, passed over, and the stream is folded whole.
// What an aggregate's State seals is sealed in it.

// A codec writes and reads one aggregate's State.
type codec[S any] struct {
	schema int
	encode func(S) ([]byte, error)
	decode func([]byte) (S, error)
}

// The aggregates whose streams have no natural end. An order, a payment, a shipment or a cart is done one day.
var (
	stockSnapshots    = &codec[inventory.State]{schema: inventory.SnapshotSchema, encode: inventory.State.Snapshot, decode: inventory.Restore}
	productSnapshots  = &codec[product.State]{schema: product.SnapshotSchema, encode: product.State.Snapshot, decode: product.Restore}
	customerSnapshots = &codec[customer.State]{schema: customer.SnapshotSchema, encode: customer.State.Snapshot, decode: customer.Restore}
)

// snapshotOf is the stream of the snapshots of a stream.
func snapshotOf(s eventstore.Stream) eventstore.Stream { return eventstore.Snapshot.Stream(string(s)) }

// fromSnapshot returns an entry that stands beyond e, or e itself if no snapshot helps. Faults: those of the store.
func fromSnapshot[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, e *entry[S]) (*entry[S], error) {
	found, err := h.snapshots.newest(ctx, stream)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return e, nil
	}
	next, err := restore(ctx, h, a, stream, e, found)
	if errors.Is(err, errPassedOver) {
		h.log.WarnContext(ctx, "snapshot passed over; the stream is folded whole", slog.String("stream", string(snapshotOf(stream))), slog.Any("error", err))
		return e, nil
	}
	return next, err
}

// restore reads the snapshot's parts. Faults: errPassedOver if it does not belong to this stream as it is; those of the store.
func restore[S any, E event](ctx context.Context, h *Handlers, a aggregate[S, E], stream eventstore.Stream, e *entry[S], parts []eventstore.Recorded) (*entry[S], error) {
	p, err := decodeSnapshot(stream, a.snapshots.schema, parts)
	if err != nil || p.Revision <= e.revision {
		return e, err
	}
	last, err := h.at(ctx, stream, p.Revision)
	switch {
	case errors.Is(err, eventstore.ErrNoStream):
		return nil, errPassedOver.Because("the snapshot covers revision %d, which the stream does not have", p.Revision)
	case err != nil:
		return nil, err
	case last.ID != p.Event:
		return nil, errPassedOver.Because("the snapshot is of another history: revision %d is another event", p.Revision)
	}
	state, err := a.snapshots.decode(p.state)
	if err != nil {
		return nil, errPassedOver.Because("the snapshot's state can't be read")
	}
	next := &entry[S]{state: state, revision: p.Revision, position: last.Position, last: p.Event, saved: p.Revision, weight: len(p.marks) / 4 / coveredWeighs}
	if e.commands != nil {
		next.commands = map[commandID]applied{}
		next.heard = heardFrom(p.marks)
	}
	return next, nil
}

// coveredWeighs events that a snapshot covers weigh in the cache as one that was folded: of their commands four bytes are kept.
const coveredWeighs = 4
