package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/annalhq/annal/internal/pii"
)

// MaxPlaintext is the longest datum that is sealed, in bytes.
const MaxPlaintext = 64 << 10

// keySize is that of AES-256, of a person's key and of the KEK, in bytes.
const keySize = 32

// minBucket is the smallest padded length, in bytes: most names and phones end up equally long.
const minBucket = 32

// key is what a person's key is used for, or the knowledge that it is destroyed.
type key struct {
	aead   cipher.AEAD // random nonce, which it puts in front
	mac    []byte
	erased bool
}

// newKey derives a person's two keys, so that no one key serves two algorithms (RFC 5869).
func newKey(dek []byte) (*key, error) {
	sealing, err := derive(dek, "annal pii aead v1")
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(sealing)
	if err != nil {
		return nil, err
	}
	mac, err := derive(dek, "annal pii mac v1")
	return &key{aead: aead, mac: mac}, err
}

func derive(secret []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, use, keySize)
}

func newAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func randomKey() []byte {
	b := make([]byte, keySize)
	rand.Read(b) //nolint:errcheck // never fails since Go 1.24: it ends the process instead
	return b
}

// binding is the authenticated context of a sealed value (docs/adr/0004-sealed-personal-data.md: without stream and
// event, since a value may be copied from one event of a person to another). Frozen.
func binding(id pii.KeyID, field pii.Field) []byte {
	return prefixed("annal pii v1", string(id.Subject), string(id.Purpose), strconv.Itoa(id.Version), string(field))
}

// prefixed joins parts so that no two lists of parts give the same bytes.
func prefixed(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // far below 4 GiB
		b = append(b, p...)
	}
	return b
}

// pad hides the length: its four bytes, the datum, zeros up to the next power of two.
func pad(plaintext []byte) []byte {
	n := 4 + len(plaintext)
	size := max(minBucket, 1<<bits.Len(uint(n-1)))
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(plaintext))) //nolint:gosec // at most MaxPlaintext
	return append(b, plaintext...)[:size]
}

func unpad(b []byte) ([]byte, error) {
	if len(b) < 4 || int64(binary.BigEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, ErrForged
	}
	return b[4 : 4+binary.BigEndian.Uint32(b)], nil
}

// wrapper encrypts keys under the installation's key.
type wrapper struct{ aead cipher.AEAD }

func newWrapper(kek []byte) (wrapper, error) {
	if len(kek) != keySize {
		return wrapper{}, errKEK
	}
	aead, err := newAEAD(kek)
	if err != nil {
		return wrapper{}, wrap(err, errKEK)
	}
	return wrapper{aead}, nil
}

// wrap and unwrap bind a wrapped key to its place, so that the rows of two persons can't be exchanged.
func (w wrapper) wrap(secret []byte, place ...string) []byte {
	return w.aead.Seal(nil, nil, secret, prefixed(append([]string{"annal vault v1"}, place...)...))
}

func (w wrapper) unwrap(wrapped []byte, place ...string) ([]byte, error) {
	secret, err := w.aead.Open(nil, nil, wrapped, prefixed(append([]string{"annal vault v1"}, place...)...))
	if err != nil {
		return nil, ErrWrongKEK
	}
	return secret, nil
}
