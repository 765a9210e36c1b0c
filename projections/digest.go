package projections

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

// Opener opens sealed values; *vault.Vault does.
type Opener interface {
	OpenMany(ctx context.Context, items []vault.Item) ([]vault.Opened, error)
}

// ProjectionDigest says what a read model's table holds: equal hashes mean equal rows, in whatever order and however they came about.
type ProjectionDigest struct {
	Name   string
	Rows   int64
	Parked int64  // events that wait; a digest with parked ones is not final
	Hash   string // hex
}

// Digest hashes the tables of the projections in one snapshot. A row's hash is SHA-256 of its canonical JSON (RFC 8259, keys sorted)
// with sealed values opened and volatile columns left out: positions, counts of events and times of the envelope differ
// between two ways to the same state. A table's hash is the sum of its rows' modulo 2^256, so that their order is of no matter.
//
// Faults: those of the opener, POSTGRES_UNAVAILABLE.
func Digest(ctx context.Context, pool *pgxpool.Pool, list []Projection, open Opener) ([]ProjectionDigest, error) {
	digests := make([]ProjectionDigest, len(list))
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, pool, snapshot, func(tx pgx.Tx) error {
		for i, p := range list {
			var err error
			if digests[i], err = p.digest(ctx, tx, open); err != nil {
				return err
			}
		}
		return nil
	})
	return digests, unavailable(err)
}

// digestChunk rows are opened together.
const digestChunk = 500

func (p Projection) digest(ctx context.Context, tx pgx.Tx, open Opener) (ProjectionDigest, error) {
	d := ProjectionDigest{Name: p.name}
	const parked = `SELECT parked FROM projections.checkpoints WHERE name = $1 AND version = $2`
	if err := tx.QueryRow(ctx, parked, p.name, p.version).Scan(&d.Parked); err != nil {
		return d, err
	}
	rows, err := tx.Query(ctx, p.table.all)
	if err != nil {
		return d, err
	}
	defer rows.Close()
	sum, chunk := new(big.Int), make([]any, 0, digestChunk)
	for more := true; more; {
		if more = rows.Next(); more {
			row, err := p.table.scan(rows)
			if err != nil {
				return d, err
			}
			chunk = append(chunk, row)
		}
		if len(chunk) == digestChunk || !more {
			if err := p.table.addHashes(ctx, sum, chunk, open); err != nil {
				return d, err
			}
			d.Rows += int64(len(chunk))
			chunk = chunk[:0]
		}
	}
	d.Hash = hex.EncodeToString(sum.FillBytes(make([]byte, sha256.Size)))
	return d, rows.Err()
}

func (t *table) addHashes(ctx context.Context, sum *big.Int, rows []any, open Opener) error {
	trees := make([]map[string]any, len(rows))
	var values sealedValues
	for i, row := range rows {
		tree, err := t.tree(row)
		if err != nil {
			return err
		}
		for _, c := range t.columns {
			if v, ok := tree[c.name]; ok && c.kind == document {
				values.find(v, t.fieldOf(row, c.name), func(plain any) { tree[c.name] = plain })
			}
		}
		trees[i] = tree
	}
	if err := values.open(ctx, open); err != nil {
		return err
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	for _, tree := range trees {
		canonical, err := json.Marshal(tree)
		if err != nil {
			return err
		}
		hash := sha256.Sum256(canonical)
		sum.Mod(sum.Add(sum, new(big.Int).SetBytes(hash[:])), modulus)
	}
	return nil
}

// tree returns the row's lasting columns as JSON values.
func (t *table) tree(row any) (map[string]any, error) {
	tree, v := map[string]any{}, reflect.ValueOf(row).Elem()
	for _, c := range t.columns {
		if c.volatile {
			continue
		}
		encoded, err := json.Marshal(v.FieldByIndex(c.index).Interface())
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(encoded))
		decoder.UseNumber() // exact
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		for _, hidden := range c.hidden {
			strip(value, hidden)
		}
		tree[c.name] = value
	}
	return tree, nil
}

func strip(value any, key string) {
	switch v := value.(type) {
	case map[string]any:
		delete(v, key)
		for _, inner := range v {
			strip(inner, key)
		}
	case []any:
		for _, inner := range v {
			strip(inner, key)
		}
	}
}

// fieldOf returns the field that a sealed column was sealed as: its name, unless the row says otherwise.
func (t *table) fieldOf(row any, column string) pii.Field {
	if r, ok := row.(interface{ fieldOf(column string) pii.Field }); ok {
		return r.fieldOf(column)
	}
	return pii.Field(column)
}

// sealedValues are the sealed values of many rows and where each belongs.
type sealedValues struct {
	items []vault.Item
	put   []func(any)
}

// find looks for sealed values in a JSON value; in an object the key is the field.
func (s *sealedValues) find(value any, field pii.Field, put func(any)) {
	switch v := value.(type) {
	case map[string]any:
		if _, ok := v["$pii"]; ok {
			s.add(v, field, put)
			return
		}
		for key, inner := range v {
			s.find(inner, pii.Field(key), func(plain any) { v[key] = plain })
		}
	case []any:
		for i, inner := range v {
			s.find(inner, field, func(plain any) { v[i] = plain })
		}
	}
}

func (s *sealedValues) add(v map[string]any, field pii.Field, put func(any)) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return
	}
	var sealed pii.Sealed
	if json.Unmarshal(encoded, &sealed) == nil {
		s.items, s.put = append(s.items, vault.Item{Field: field, Sealed: sealed}), append(s.put, put)
	}
}

func (s *sealedValues) open(ctx context.Context, open Opener) error {
	if len(s.items) == 0 {
		return nil
	}
	opened, err := open.OpenMany(ctx, s.items)
	if err != nil {
		return err
	}
	for i, result := range opened {
		switch {
		case errors.Is(result.Err, vault.ErrErased):
			s.put[i](map[string]any{"erased": true})
		case result.Err != nil:
			return fault.Wrap(result.Err, fault.Internal, "DIGEST_REFUSED", "a sealed value of a row can't be opened")
		default:
			s.put[i](map[string]any{"opened": string(result.Plaintext)})
		}
	}
	return nil
}
