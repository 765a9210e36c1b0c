package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/pii"
)

// Names of the installation's own keys.
const (
	indexKey = "index" // of the blind index
	shopKey  = "mac"   // of MACs that concern no person
)

// MAC returns the base64url HMAC-SHA-256 of the data, under a key that dies with the person, or for the subject "" under the
// shop's own. Equal data can be told from other data by it, and by nobody without the key. Faults: ErrErased,
// ErrSubject, ErrUnavailable, ErrWrongKEK.
func (v *Vault) MAC(ctx context.Context, subject pii.Subject, data []byte) (string, error) {
	secret, err := v.macKey(ctx, subject)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(hmacOf(secret, data)), nil
}

func (v *Vault) macKey(ctx context.Context, subject pii.Subject) ([]byte, error) {
	if subject == "" {
		return v.installationKey(ctx, shopKey)
	}
	id, err := keyID(subject, pii.Fulfilment)
	if err != nil {
		return nil, err
	}
	k, err := v.own(ctx, id)
	if err != nil {
		return nil, err
	}
	return k.mac, nil
}

func hmacOf(secret, data []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(data)
	return h.Sum(nil)
}

// installationKey returns the installation's own key of the name. All of them are made at once, by whoever comes first, so
// that a process with another KEK finds out instead of adding one of its own.
func (v *Vault) installationKey(ctx context.Context, name string) ([]byte, error) {
	if known := v.known(name); known != nil {
		return known, nil
	}
	names := []string{indexKey, shopKey}
	var offers [][]byte
	for _, n := range names {
		offers = append(offers, v.kek.wrap(randomKey(), "installation", n))
	}
	var batch pgx.Batch
	batch.Queue(`INSERT INTO vault.installation (name, wrapped)
		SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING`, names, offers)
	var rows []installationRow
	batch.Queue(`SELECT name, wrapped FROM vault.installation`).Query(func(result pgx.Rows) (err error) {
		rows, err = pgx.CollectRows(result, pgx.RowToStructByName[installationRow])
		return err
	})
	if err := v.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, databaseFault(err)
	}
	return v.keep(rows, name)
}

type installationRow struct {
	Name    string
	Wrapped []byte
}

func (v *Vault) keep(rows []installationRow, wanted string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range rows {
		secret, err := v.kek.unwrap(r.Wrapped, "installation", r.Name)
		if err != nil {
			return nil, err
		}
		v.installation[r.Name] = secret
	}
	return v.installation[wanted], nil
}

func (v *Vault) known(name string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.installation[name]
}
