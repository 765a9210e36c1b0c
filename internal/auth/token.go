package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/annalhq/annal/internal/fault"
)

// Audience and issuer of our tokens.
const (
	audience = "annal"
	issuer   = "annal"
)

// ErrToken answers a bearer token that is not to be believed; it does not say why.
var ErrToken = fault.New(fault.Unauthenticated, "TOKEN_INVALID", "the bearer token is malformed, expired or not ours; obtain a new one")

var errSeed = fault.New(fault.Invalid, "TOKEN_KEY_MALFORMED", "the token key must be 32 bytes, base64")

// Key signs and checks bearer tokens: JSON Web Tokens (RFC 7519) with EdDSA over Ed25519 (RFC 8037). The algorithm belongs
// to the key and is never read from a token; a token without expiry, audience, subject or our type is refused.
type Key struct {
	private ed25519.PrivateKey
	parser  *jwt.Parser
}

// NewKey returns the key of a 32-byte seed in base64.
func NewKey(seed string) (*Key, error) {
	raw, err := base64.StdEncoding.DecodeString(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		return nil, errSeed
	}
	return &Key{private: ed25519.NewKeyFromSeed(raw), parser: jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithAudience(audience), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithLeeway(time.Minute))}, nil
}

type claims struct {
	jwt.RegisteredClaims
	Kind  Kind   `json:"kind"`
	Roles []Role `json:"roles"`
}

// tokenType stands in the header, so that no other signed thing passes for a token (RFC 9068, section 2.1).
const tokenType = "at+jwt"

// Issue returns a bearer token for p that is good from now for the duration. REQUIRES: now is the present.
func (k *Key) Issue(p Principal, now time.Time, good time.Duration) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{
		RegisteredClaims: jwt.RegisteredClaims{Issuer: issuer, Subject: p.ID, Audience: jwt.ClaimStrings{audience},
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(good))},
		Kind: p.Kind, Roles: p.Roles})
	t.Header["typ"] = tokenType
	signed, err := t.SignedString(k.private)
	return signed, fault.Wrap(err, fault.Internal, "TOKEN_UNSIGNED", "the token can't be signed")
}

// maxToken bounds a token before anything of it is decoded, in bytes.
const maxToken = 4096

// Verify returns the principal of a bearer token, or ErrToken.
func (k *Key) Verify(token string) (Principal, error) {
	if len(token) > maxToken {
		return Principal{}, ErrToken
	}
	var c claims
	t, err := k.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.private.Public(), nil })
	if err != nil || t.Header["typ"] != tokenType || c.Subject == "" {
		return Principal{}, ErrToken
	}
	switch c.Kind {
	case Customer, Staff, Service:
		return Principal{Kind: c.Kind, ID: c.Subject, Roles: c.Roles, Method: "bearer"}, nil
	default: // an importer works in process and has no token
		return Principal{}, ErrToken
	}
}
