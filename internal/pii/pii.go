// Package pii is the value type of personal data in events, commands, snapshots and rows.
//
// Personal data never stands in the clear in anything that is stored or sent: a name, an address, an e-mail, a phone
// number is a Sealed value, ciphertext under a key that belongs to one person and one purpose. internal/vault seals and
// opens; this package only carries, so that aggregates can hold sealed values without knowing keys (they may
// import it; docs/adr/0004-sealed-personal-data.md says why). A Sealed value is opaque and can be compared only for presence.
//
// Wire form, frozen (docs/adr/0004-sealed-personal-data.md):
//
//	{"$pii":{"k":"<subject>:<purpose>:<version>","c":"<base64 of nonce and ciphertext>"}}
//
// The subject is an opaque id (a customer id, or "order-<id>" for a guest), never a datum of the person. A value may be
// copied from one event of a person to another without being opened: what binds it is subject, purpose, version and Field,
// all authenticated by the cipher. Once the person's key is destroyed, opening gives the typed state erased for ever.
package pii

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// Subject is the opaque id of the person whose key seals.
type Subject string

// Purpose is why a datum is kept; each has a key of its own, so that one can be erased and another held by law.
type Purpose string

// The purposes.
const (
	Fulfilment Purpose = "fulfilment" // name, address, contact: what it takes to deliver and to tell
	Marketing  Purpose = "marketing"
)

// Field says which datum a sealed value is; the cipher binds it, so that a phone can't be passed off as an address.
type Field string

// The fields.
const (
	Name    Field = "name"
	Email   Field = "email"
	Phone   Field = "phone"
	Address Field = "address" // the JSON of an Address
	Note    Field = "note"    // free text of or about a person
)

// ErrMalformed refuses what is not a sealed value.
var ErrMalformed = fault.New(fault.Invalid, "SEALED_VALUE_MALFORMED", "not a sealed value of the form {\"$pii\":{\"k\":...,\"c\":...}}")

// KeyID names one key: one person, one purpose, one version (from 1).
type KeyID struct {
	Subject Subject
	Purpose Purpose
	Version int
}

// String returns "<subject>:<purpose>:<version>".
func (k KeyID) String() string {
	return string(k.Subject) + ":" + string(k.Purpose) + ":" + strconv.Itoa(k.Version)
}

// ParseKeyID reads what String wrote. Subjects hold no colon.
func ParseKeyID(s string) (KeyID, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return KeyID{}, ErrMalformed
	}
	version, err := strconv.Atoi(parts[2])
	if err != nil || version < 1 {
		return KeyID{}, ErrMalformed
	}
	return KeyID{Subject: Subject(parts[0]), Purpose: Purpose(parts[1]), Version: version}, nil
}

// Sealed is a sealed datum. The zero value means there is none.
type Sealed struct {
	Key    KeyID
	Cipher []byte // nonce, then ciphertext and tag
}

// IsZero reports whether there is no datum; encoding/json's omitzero uses it.
func (s Sealed) IsZero() bool { return len(s.Cipher) == 0 }

type wire struct {
	PII *wireBody `json:"$pii"`
}

type wireBody struct {
	Key    string `json:"k"`
	Cipher string `json:"c"`
}

// MarshalJSON writes the wire form; null for the zero value.
func (s Sealed) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(wire{&wireBody{Key: s.Key.String(), Cipher: base64.StdEncoding.EncodeToString(s.Cipher)}})
}

// UnmarshalJSON reads the wire form, or ErrMalformed.
func (s *Sealed) UnmarshalJSON(data []byte) error {
	*s = Sealed{}
	if string(data) == "null" {
		return nil
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil || w.PII == nil {
		return ErrMalformed
	}
	key, err := ParseKeyID(w.PII.Key)
	if err != nil {
		return err
	}
	cipher, err := base64.StdEncoding.DecodeString(w.PII.Cipher)
	if err != nil || len(cipher) == 0 {
		return ErrMalformed
	}
	s.Key, s.Cipher = key, cipher
	return nil
}

// String keeps even ciphertext out of logs.
func (s Sealed) String() string { return "[sealed " + string(s.Key.Purpose) + "]" }
