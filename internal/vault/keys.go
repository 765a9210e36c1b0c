package vault

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// Prepare creates the keys of all subjects that have none yet, in one round trip: for whoever brings many new people at
// once. Faults: ErrSubject, ErrUnavailable, ErrWrongKEK; an erased subject is passed over.
func (v *Vault) Prepare(ctx context.Context, purpose pii.Purpose, subjects []pii.Subject) error {
	var ids []pii.KeyID
	for _, s := range subjects {
		id, err := keyID(s, purpose)
		if err != nil {
			return err
		}
		if v.cache.get(id) == nil {
			ids = append(ids, id)
		}
	}
	_, err := v.create(ctx, ids)
	return err
}

// own returns the person's key, created if need be. Fault: ErrErased.
func (v *Vault) own(ctx context.Context, id pii.KeyID) (*key, error) {
	k := v.cache.get(id)
	if k == nil {
		made, err := v.create(ctx, []pii.KeyID{id})
		if err != nil {
			return nil, err
		}
		k = made[id]
	}
	if k.erased {
		return nil, ErrErased
	}
	return k, nil
}

type keyRow struct {
	Subject string
	Purpose string
	Version int
	Wrapped []byte
}

func (r keyRow) id() pii.KeyID {
	return pii.KeyID{Subject: pii.Subject(r.Subject), Purpose: pii.Purpose(r.Purpose), Version: r.Version}
}

// create makes sure that each id has a row and returns all keys. It offers a new key for every id, in an order that all
// processes share, and reads what stands there afterwards: of racing offers the first one committed stays.
func (v *Vault) create(ctx context.Context, ids []pii.KeyID) (map[pii.KeyID]*key, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if _, err := v.installationKey(ctx, indexKey); err != nil { // a wrong KEK must be found before it wraps anything
		return nil, err
	}
	epoch := v.cache.epoch()
	subjects, purposes, versions := columns(ids)
	offers := make([][]byte, len(ids))
	for n, id := range ids {
		offers[n] = v.kek.wrap(randomKey(), place(id)...)
	}
	var batch pgx.Batch
	batch.Queue(`INSERT INTO vault.keys (subject, purpose, version, wrapped)
		SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bytea[]) AS offer (subject, purpose, version, wrapped)
		ORDER BY subject, purpose, version
		ON CONFLICT DO NOTHING`, subjects, purposes, versions, offers)
	var rows []keyRow
	batch.Queue(selectKeys, subjects, purposes, versions).Query(collectInto(&rows))
	if err := v.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, databaseFault(err)
	}
	keys, err := v.unwrapAll(rows, epoch)
	if err == nil && len(keys) < len(unique(ids)) {
		err = errBroken.Because("the vault's database lost a key that was just written")
	}
	return keys, err
}

const selectKeys = `SELECT subject, purpose, version, wrapped FROM vault.keys
	WHERE (subject, purpose, version) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::int[]))`

// lookup returns the keys that exist, from the cache or by one query.
func (v *Vault) lookup(ctx context.Context, ids []pii.KeyID) (map[pii.KeyID]*key, error) {
	found := make(map[pii.KeyID]*key, len(ids))
	var absent []pii.KeyID
	for _, id := range ids {
		if _, seen := found[id]; seen {
			continue
		}
		if found[id] = v.cache.get(id); found[id] == nil {
			absent = append(absent, id)
		}
	}
	if len(absent) == 0 {
		return found, nil
	}
	epoch := v.cache.epoch()
	subjects, purposes, versions := columns(absent)
	var rows []keyRow
	result, err := v.pool.Query(ctx, selectKeys, subjects, purposes, versions)
	if err == nil {
		err = collectInto(&rows)(result)
	}
	if err != nil {
		return nil, databaseFault(err)
	}
	keys, err := v.unwrapAll(rows, epoch)
	for id, k := range keys {
		found[id] = k
	}
	return found, err
}

func (v *Vault) unwrapAll(rows []keyRow, epoch uint64) (map[pii.KeyID]*key, error) {
	keys := make(map[pii.KeyID]*key, len(rows))
	for _, r := range rows {
		k := &key{erased: true}
		if r.Wrapped != nil {
			dek, err := v.kek.unwrap(r.Wrapped, place(r.id())...)
			if err != nil {
				return nil, err
			}
			if k, err = newKey(dek); err != nil {
				return nil, wrap(err, errBroken)
			}
			clear(dek)
		}
		keys[r.id()] = k
		v.cache.put(r.id(), k, epoch)
	}
	return keys, nil
}

func place(id pii.KeyID) []string {
	return []string{"person", string(id.Subject), string(id.Purpose), strconv.Itoa(id.Version)}
}

func columns(ids []pii.KeyID) (subjects, purposes []string, versions []int) {
	for _, id := range ids {
		subjects, purposes, versions = append(subjects, string(id.Subject)), append(purposes, string(id.Purpose)), append(versions, id.Version)
	}
	return subjects, purposes, versions
}

func unique(ids []pii.KeyID) map[pii.KeyID]struct{} {
	set := make(map[pii.KeyID]struct{}, len(ids))
	for _, id := range ids {
		set[id] = struct{}{}
	}
	return set
}

func collectInto(rows *[]keyRow) func(pgx.Rows) error {
	return func(result pgx.Rows) (err error) {
		*rows, err = pgx.CollectRows(result, pgx.RowToStructByName[keyRow])
		return err
	}
}

func wrap(err error, f *fault.Error) error { return fault.Wrap(err, f.Kind, f.Code, f.Message) }

// databaseFault: the server's own refusals are defects, except those that say it has no time or place for anybody
// (classes 08 connection, 40 rollback, 53 resources, 57 operator); everything else is a connection that does not work.
func databaseFault(err error) error {
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		switch refusal.Code[:2] {
		case "08", "40", "53", "57":
		default:
			return wrap(err, errBroken)
		}
	}
	return wrap(err, ErrUnavailable)
}
