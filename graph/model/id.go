package model

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
)

// ErrID refuses what is not a global id of the wanted type.
var ErrID = fault.New(fault.Invalid, "ID_INVALID", "this is not the global id of such a thing; take it from the field id of an earlier answer")

// maxID bounds a global id before anything of it is decoded, in bytes.
const maxID = 512

// GlobalID returns the opaque id of a thing over all types, base64url of "<type>:<id>"; nothing has none.
func GlobalID(typename, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(typename + ":" + id))
}

// ParseID reads a global id. Fault: ErrID.
func ParseID(global string) (typename, id string, err error) {
	if len(global) > maxID {
		return "", "", ErrID
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(global)
	if err != nil || !utf8.Valid(raw) || strings.ContainsRune(string(raw), 0) {
		return "", "", ErrID
	}
	typename, id, ok := strings.Cut(string(raw), ":")
	if !ok || id == "" {
		return "", "", ErrID
	}
	return typename, id, nil
}

// IDOf reads the global id of a thing of one type. Fault: ErrID.
func IDOf(typename, global string) (string, error) {
	found, id, err := ParseID(global)
	if err != nil || found != typename {
		return "", ErrID
	}
	return id, nil
}
