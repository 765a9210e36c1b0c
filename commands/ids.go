package commands

import (
	"crypto/sha256"
	"encoding/base32"
)

var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// derive returns the id of what the command creates: 26 characters of Crockford's base32 in lower case over the first
// 128 bits of SHA-256 of kind and command id. A retried command finds its own stream.
func (r request) derive(kind string) string { return deriveID(kind, r.Command.String()) }

// deriveID returns an id that depends on nothing but kind and seed.
func deriveID(kind, seed string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + seed))
	return idAlphabet.EncodeToString(sum[:16])
}
