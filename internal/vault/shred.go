package vault

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/pii"
)

// Shred destroys the person's keys for the purpose, for ever, also if there was none yet: whatever was sealed with them is
// unreadable, and nothing can be sealed or indexed for the person and purpose any more. What the person could be found
// by goes with the purpose fulfilment. Doing it again changes nothing. Faults: ErrSubject, ErrUnavailable.
//
// Other processes forget the key within Config.CacheTTL. Dead rows, the write-ahead log and backups hold the wrapped key
// until they are vacuumed, recycled and expired; without the KEK they are of no use.
func (v *Vault) Shred(ctx context.Context, subject pii.Subject, purpose pii.Purpose) error {
	id, err := keyID(subject, purpose)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		var batch pgx.Batch
		// Version 1 is what a first use would create: its row is the tombstone, and the lock that racing first uses meet.
		batch.Queue(`INSERT INTO vault.keys (subject, purpose, version, erased_at) VALUES ($1, $2, $3, now())
			ON CONFLICT (subject, purpose, version) DO NOTHING`, string(subject), string(purpose), id.Version)
		batch.Queue(`UPDATE vault.keys SET wrapped = NULL, erased_at = now()
			WHERE subject = $1 AND purpose = $2 AND wrapped IS NOT NULL`, string(subject), string(purpose))
		if purpose == pii.Fulfilment {
			batch.Queue(`DELETE FROM vault.blind_index WHERE subject = $1`, string(subject))
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	v.cache.drop(subject, purpose)
	return databaseFaultOrNil(err)
}
