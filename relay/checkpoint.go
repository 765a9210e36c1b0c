package relay

import (
	"context"
	"encoding/json"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// checkpoint is the row relay.checkpoint as this leader knows it. Owned by one goroutine at a time.
type checkpoint struct {
	position eventstore.Position
	after    eventstore.After
	store    eventstore.StoreID
	fence    int64
	saved    eventstore.Position // the position in the row
}

// takeOver raises the fence and returns the checkpoint, making one at zero if there is none. REQUIRES: the lease is held.
func (r *Relay) takeOver(ctx context.Context, store eventstore.StoreID) (*checkpoint, error) {
	const sql = `
		INSERT INTO relay.checkpoint AS c (id, position, after, store, fence, leader) VALUES (1, 0, '{}', $1, 1, $2)
		ON CONFLICT (id) DO UPDATE SET fence = c.fence + 1, leader = excluded.leader, updated_at = now()
		RETURNING position, after, store, fence`
	var (
		cp    checkpoint
		after []byte
		at    int64
	)
	if err := r.pool.QueryRow(ctx, sql, string(store), r.cfg.Name).Scan(&at, &after, &cp.store, &cp.fence); err != nil {
		return nil, unavailable(err)
	}
	if err := json.Unmarshal(after, &cp.after); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "RELAY_CHECKPOINT_MALFORMED", "column after of relay.checkpoint can't be read; delete the row to begin from zero")
	}
	if cp.after == nil {
		cp.after = eventstore.After{}
	}
	cp.position = eventstore.Position(at) //nolint:gosec // checked by the table
	cp.saved = cp.position
	return &cp, nil
}

// save writes the checkpoint if it moved. Error: errFenced if another leader took over; then nothing was written.
func (r *Relay) save(ctx context.Context, cp *checkpoint) error {
	if cp.position == cp.saved {
		return nil
	}
	after, err := json.Marshal(cp.after)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "RELAY_CHECKPOINT_MALFORMED", "the checkpoint can't be encoded")
	}
	const sql = `UPDATE relay.checkpoint SET position = $1, after = $2, updated_at = now() WHERE id = 1 AND fence = $3 AND store = $4 AND position = $5`
	tag, err := r.pool.Exec(ctx, sql, int64(cp.position), after, cp.fence, string(cp.store), int64(cp.saved)) //nolint:gosec // positions fit
	if err != nil {
		return unavailable(err)
	}
	if tag.RowsAffected() == 0 {
		return errFenced
	}
	cp.saved = cp.position
	r.metrics.checkpoint.Set(float64(cp.position))
	return nil
}
