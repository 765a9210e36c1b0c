// Package vault keeps the keys under which personal data is sealed, and destroys them.
//
// Each person has a key for each purpose, drawn at random when it is first needed. Names, addresses, e-mails and phones stand
// in events, commands, snapshots, messages and rows only as pii.Sealed values under that key. To erase a person is to destroy
// the key: what was sealed stays where it is, in a log that nobody may change, and can't be read by anybody any more.
//
//	the installation's KEK (configuration, 32 bytes)
//	└─ wraps a person's key (row of vault.keys)
//	   ├─ derives the sealing key: AES-256-GCM, random nonce, padded, bound to subject, purpose, version and field
//	   └─ derives the MAC key: tells equal input from other input, and dies with the person
//
// Invariants. A key is durable before anything sealed with it leaves this package. Of racing first uses, in any number of
// processes, one key wins and all use it. An erased (subject, purpose) never gets another key: its row stays as a
// tombstone. No plaintext, and no hash of one that can be guessed without a key, is ever stored here.
//
// Keys are cached for at most five minutes, so sealing for a known person costs no round trip; a process that did not itself
// carry out an erasure may read for that long. What it still seals then is lost at once, which is what erasing means.
//
// Called by commands (seal, MAC), queries and providers (open) and the privacy tool (shred); projectors never need it. Faults: ErrErased
// and ErrForged; ErrUnavailable while Postgres is away; ErrWrongKEK if the configured key is not the one the vault was begun
// with, found before anything is written.
package vault

import (
	"context"
	"embed"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/postgres"
)

// Schema is the Postgres schema that the vault's tables live in.
const Schema = "vault"

// The faults of the vault.
var (
	// ErrErased answers for ever once a person's key is destroyed, or if it never was here.
	ErrErased = fault.New(fault.Missing, "ERASED", "this personal data was erased")
	// ErrForged answers for a sealed value that was changed, or moved to another person, purpose or field.
	ErrForged = fault.New(fault.Internal, "SEALED_VALUE_FORGED", "a sealed value is not what was sealed")
	// ErrWrongKEK answers if the configured key does not open the vault's keys.
	ErrWrongKEK = fault.New(fault.Internal, "VAULT_KEY_WRONG", "the configured vault key is not the one that this vault's keys are wrapped with")
	// ErrUnavailable answers while the vault's database is away.
	ErrUnavailable = fault.New(fault.Unavailable, "VAULT_UNAVAILABLE", "the vault of personal keys does not answer; try again")
	// ErrTooLong refuses a datum over MaxPlaintext.
	ErrTooLong = fault.New(fault.Invalid, "PERSONAL_DATA_TOO_LONG", "a name, address, contact or note may have at most 64 KiB")
	// ErrSubject refuses what can't name a person or a purpose.
	ErrSubject = fault.New(fault.Invalid, "SUBJECT_MALFORMED", "a subject and a purpose have 1 to 200 bytes without a colon")

	errKEK    = fault.New(fault.Invalid, "VAULT_KEY_MALFORMED", "the vault key must be 32 bytes")
	errBroken = fault.New(fault.Internal, "VAULT_BROKEN", "the vault's database refuses what it should do")
)

// Config adjusts a Vault.
type Config struct {
	KEK       []byte        // the installation's key, 32 bytes; required
	CacheSize int           // persons' keys held in memory; default 10,000 (about 4 MB)
	CacheTTL  time.Duration // how long one is held; default and maximum 5 minutes
}

// Vault seals and opens. Safe for concurrent use.
type Vault struct {
	pool  *pgxpool.Pool
	kek   wrapper
	cache *cache

	mu           sync.Mutex
	installation map[string][]byte // the installation's own keys, once read
}

// New returns a vault on a pool whose database holds Migrations in Schema. It does not connect. Fault: Invalid for a KEK of
// another length than 32 bytes.
func New(pool *pgxpool.Pool, cfg Config) (*Vault, error) {
	kek, err := newWrapper(cfg.KEK)
	if err != nil {
		return nil, err
	}
	if cfg.CacheSize <= 0 {
		cfg.CacheSize = 10_000
	}
	const longest = 5 * time.Minute
	if cfg.CacheTTL <= 0 || cfg.CacheTTL > longest {
		cfg.CacheTTL = longest
	}
	return &Vault{pool: pool, kek: kek, cache: newCache(cfg.CacheSize, cfg.CacheTTL), installation: map[string][]byte{}}, nil
}

//go:embed migrations/*.sql
var files embed.FS

// Migrations returns the vault's SQL files, for postgres.Migrate with Schema.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) //nolint:forbidigo // the path is a constant that embed has checked
	}
	return sub
}

// Owned is the schema with its rights. Nobody may delete a key's row, not even the vault: a destroyed key leaves a tombstone.
func Owned() postgres.Schema {
	return postgres.Schema{Name: Schema, Files: Migrations(), Rights: postgres.Rights{
		"keys":         {postgres.Vault: "SELECT INSERT UPDATE"},
		"installation": {postgres.Vault: "SELECT INSERT"},
		"blind_index":  {postgres.Vault: "SELECT INSERT UPDATE DELETE"},
	}}
}

// Seal encrypts a datum of the person and creates the person's key on first use. An empty datum is no datum: the zero
// value. Faults: ErrErased for ever after Shred, ErrTooLong, ErrSubject, ErrUnavailable, ErrWrongKEK.
func (v *Vault) Seal(ctx context.Context, subject pii.Subject, purpose pii.Purpose, field pii.Field, plaintext []byte) (pii.Sealed, error) {
	if len(plaintext) == 0 {
		return pii.Sealed{}, nil
	}
	if len(plaintext) > MaxPlaintext {
		return pii.Sealed{}, ErrTooLong.At(string(field))
	}
	id, err := keyID(subject, purpose)
	if err != nil {
		return pii.Sealed{}, err
	}
	k, err := v.own(ctx, id)
	if err != nil {
		return pii.Sealed{}, err
	}
	return pii.Sealed{Key: id, Cipher: k.aead.Seal(nil, nil, pad(plaintext), binding(id, field))}, nil
}

// Open decrypts a sealed value as the field it was sealed as. The zero value opens to nothing. Faults: ErrErased, ErrForged,
// ErrUnavailable, ErrWrongKEK.
func (v *Vault) Open(ctx context.Context, field pii.Field, s pii.Sealed) ([]byte, error) {
	opened, err := v.OpenMany(ctx, []Item{{Field: field, Sealed: s}})
	if err != nil {
		return nil, err
	}
	return opened[0].Plaintext, opened[0].Err
}

// Item is one value to open.
type Item struct {
	Field  pii.Field
	Sealed pii.Sealed
}

// Opened is what became of an Item: its plaintext, or ErrErased or ErrForged.
type Opened struct {
	Plaintext []byte
	Err       error
}

// OpenMany opens all items, in their order, with one query at most for the keys that are not cached. An item that was
// erased or forged does not hinder the others. Faults: ErrUnavailable, ErrWrongKEK.
func (v *Vault) OpenMany(ctx context.Context, items []Item) ([]Opened, error) {
	ids := make([]pii.KeyID, 0, len(items))
	for _, i := range items {
		if !i.Sealed.IsZero() {
			ids = append(ids, i.Sealed.Key)
		}
	}
	keys, err := v.lookup(ctx, ids)
	if err != nil {
		return nil, err
	}
	opened := make([]Opened, len(items))
	for n, i := range items {
		if !i.Sealed.IsZero() {
			opened[n].Plaintext, opened[n].Err = openWith(keys[i.Sealed.Key], i)
		}
	}
	return opened, nil
}

func openWith(k *key, i Item) ([]byte, error) {
	if k == nil || k.erased {
		return nil, ErrErased
	}
	padded, err := k.aead.Open(nil, nil, i.Sealed.Cipher, binding(i.Sealed.Key, i.Field))
	if err != nil {
		return nil, ErrForged
	}
	return unpad(padded)
}

// keyID names the key that seals now. Rotation will make a higher version the current one; old ones stay to open.
func keyID(subject pii.Subject, purpose pii.Purpose) (pii.KeyID, error) {
	for _, part := range []string{string(subject), string(purpose)} {
		if part == "" || len(part) > 200 || strings.ContainsAny(part, ":\x00") {
			return pii.KeyID{}, ErrSubject
		}
	}
	return pii.KeyID{Subject: subject, Purpose: purpose, Version: 1}, nil
}
