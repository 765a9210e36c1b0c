package vault

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/pii"
)

// maxFound bounds an exact search: more people with one e-mail is no search result but a defect.
const maxFound = 1000

// Index makes the person findable by the field's value, which replaces the one before; "" makes it unfindable. The value is to
// be normalised by the caller, as for Find. Faults: ErrErased, ErrSubject, ErrUnavailable, ErrWrongKEK.
func (v *Vault) Index(ctx context.Context, subject pii.Subject, field pii.Field, normalised string) error {
	id, err := keyID(subject, pii.Fulfilment)
	if err != nil {
		return err
	}
	if normalised == "" {
		_, err := v.pool.Exec(ctx, `DELETE FROM vault.blind_index WHERE subject = $1 AND field = $2`, string(subject), string(field))
		return databaseFaultOrNil(err)
	}
	if _, err := v.own(ctx, id); err != nil {
		return err
	}
	mac, err := v.blind(ctx, field, normalised)
	if err != nil {
		return err
	}
	// The lock on the key's row makes an erasure that runs now wait, or us: afterwards there is a key and an entry, or neither.
	written, err := v.pool.Exec(ctx, `INSERT INTO vault.blind_index (subject, field, mac)
		SELECT subject, $3, $4 FROM (
			SELECT subject FROM vault.keys WHERE subject = $1 AND purpose = $2 AND version = 1 AND wrapped IS NOT NULL FOR SHARE) AS living
		ON CONFLICT (subject, field) DO UPDATE SET mac = excluded.mac`,
		string(subject), string(pii.Fulfilment), string(field), mac)
	if err == nil && written.RowsAffected() == 0 {
		return ErrErased
	}
	return databaseFaultOrNil(err)
}

// Find returns the people whose field has exactly this value, sorted. Faults: ErrUnavailable, ErrWrongKEK.
func (v *Vault) Find(ctx context.Context, field pii.Field, normalised string) ([]pii.Subject, error) {
	if normalised == "" {
		return nil, nil
	}
	mac, err := v.blind(ctx, field, normalised)
	if err != nil {
		return nil, err
	}
	rows, err := v.pool.Query(ctx, `SELECT subject FROM vault.blind_index WHERE field = $1 AND mac = $2 ORDER BY subject LIMIT $3`,
		string(field), mac, maxFound)
	if err != nil {
		return nil, databaseFault(err)
	}
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[pii.Subject])
	return subjects, databaseFaultOrNil(err)
}

func (v *Vault) blind(ctx context.Context, field pii.Field, normalised string) ([]byte, error) {
	secret, err := v.installationKey(ctx, indexKey)
	if err != nil {
		return nil, err
	}
	return hmacOf(secret, prefixed(string(field), normalised)), nil
}

func databaseFaultOrNil(err error) error {
	if err == nil {
		return nil
	}
	return databaseFault(err)
}
