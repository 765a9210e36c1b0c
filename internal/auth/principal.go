// Package auth says who acts and what they may do.
//
// A Principal travels with every command and query, and is written into the metadata of every event. Authorisation is
// decided below the API, in commands and queries: they ask Require for a permission, or Owns for the owner's right to
// what is theirs; nothing is allowed by default. What each role may do is the one table in permissions.go.
//
// token.go reads and issues bearer tokens (EdDSA). Ways to obtain one (accounts, OIDC, API keys) are added beside it.
//
// Failure: Require and Owns return a fault of kind Unauthenticated for nobody and Denied for somebody without the
// right; the two are never distinguished by what exists.
package auth

import (
	"slices"

	"github.com/annalhq/annal/internal/fault"
)

// Kind says what sort of actor a principal is.
type Kind string

// The kinds of actor, as stored in event metadata.
const (
	Anonymous Kind = "anonymous"
	Customer  Kind = "customer" // ID is the customer id
	Staff     Kind = "staff"
	Service   Kind = "service" // one of our own processes: a saga, a worker
	Importer  Kind = "importer"
)

// Principal is who acts.
type Principal struct {
	Kind   Kind
	ID     string // opaque; for a customer the customer id
	Roles  []Role
	Method string // how authenticated: "none", "bearer", "internal", "cli"
}

// The faults of authorisation.
var (
	ErrUnauthenticated = fault.New(fault.Unauthenticated, "UNAUTHENTICATED", "send a bearer token in the Authorization header")
	ErrDenied          = fault.New(fault.Denied, "FORBIDDEN", "you are not allowed to do this")
)

// Nobody is the principal of a request without a token.
func Nobody() Principal { return Principal{Kind: Anonymous, Method: "none"} }

// Internal returns the principal of one of our own services.
func Internal(service string) Principal {
	return Principal{Kind: Service, ID: service, Roles: []Role{RoleService}, Method: "internal"}
}

// Has reports whether the principal has the role.
func (p Principal) Has(r Role) bool { return slices.Contains(p.Roles, r) }

// May reports whether any of the principal's roles grants the permission.
func (p Principal) May(perm Permission) bool {
	for _, r := range p.Roles {
		if slices.Contains(grants[r], perm) {
			return true
		}
	}
	return false
}

// Require returns nil if the principal has the permission, otherwise ErrUnauthenticated, or ErrDenied with the permission's name: that is
// no secret, and it is what whoever gives out roles is asked for.
func (p Principal) Require(perm Permission) error {
	if p.May(perm) {
		return nil
	}
	if p.Kind == Anonymous || p.Kind == "" {
		return ErrUnauthenticated
	}
	return ErrDenied.Because("%s; it needs the permission %s", ErrDenied.Message, perm)
}

// Owns returns nil if the principal is the customer itself, or has the permission for other people's things.
func (p Principal) Owns(customer string, others Permission) error {
	if p.Kind == Customer && p.ID != "" && p.ID == customer {
		return nil
	}
	return p.Require(others)
}
