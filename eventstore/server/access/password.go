package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/annalhq/annal/internal/fault"
)

// Cost of a new hash: OWASP's first choice for argon2id, some 40 ms of one core. A hash carries its own cost, so these may grow.
const (
	memoryKiB = 19 << 10
	passes    = 2
	lanes     = 1
	saltLen   = 16
	sumLen    = 32
)

// Bounds of what a line of the file may ask of this process.
const (
	minMemoryKiB = 1 << 10
	maxMemoryKiB = 256 << 10
	maxPasses    = 16
	maxLanes     = 16
	maxPassword  = 1 << 10 // bytes
	minPassword  = 12      // bytes of a new one
)

var errHash = fault.New(fault.Invalid, "PASSWORD_HASH_MALFORMED",
	"a password hash looks like $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH; `annal store user add` makes one")

// hashed is a password as it is kept: the PHC string format of argon2id (RFC 9106, version 0x13).
type hashed struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

// Hash makes the PHC string of a new password. Fault: PASSWORD_UNFIT if it is too short or too long.
func Hash(password []byte) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", fault.Newf(fault.Invalid, "PASSWORD_UNFIT", "a password has %d to %d bytes", minPassword, maxPassword)
	}
	return hash(password, memoryKiB, passes), nil
}

func hash(password []byte, memory, times uint32) string {
	h := hashed{memory: memory, passes: times, lanes: lanes, salt: make([]byte, saltLen), sum: make([]byte, sumLen)}
	_, _ = rand.Read(h.salt) // it never fails (crypto/rand)
	h.sum = h.of(password)
	return h.String()
}

// String returns the PHC string.
func (h hashed) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

func parseHash(text string) (hashed, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return hashed{}, errHash
	}
	var h hashed
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return hashed{}, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return hashed{}, errHash
	}
	var bad1, bad2 error
	h.salt, bad1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, bad2 = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case bad1 != nil || bad2 != nil || h.String() != text: // one way to write a hash, so no padding, spaces or signs
		return hashed{}, errHash
	case len(h.salt) < 8 || len(h.salt) > 64 || len(h.sum) < 16 || len(h.sum) > 64:
		return hashed{}, errHash
	case h.memory < minMemoryKiB || h.memory > maxMemoryKiB, h.passes < 1 || h.passes > maxPasses, h.lanes < 1 || h.lanes > maxLanes:
		return hashed{}, errHash.Because("a password hash costs too little or too much: m is %d to %d, t 1 to %d, p 1 to %d", minMemoryKiB, maxMemoryKiB, maxPasses, maxLanes)
	}
	return h, nil
}

func (h hashed) of(password []byte) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum))) //nolint:gosec // at most 64
}

// fits reports whether password is the one, in a time that doesn't depend on how much of it is.
func (h hashed) fits(password []byte) bool {
	return subtle.ConstantTimeCompare(h.of(password), h.sum) == 1
}
