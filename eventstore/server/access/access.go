// Package access knows who may do what at the port of the embedded event store: a file of users with hashed passwords and roles, and
// the check of a name and a password against it.
//
// What it promises:
//
//   - There is no user that the file doesn't name, and no password that somebody else chose.
//   - A wrong name costs the same time as a wrong password, and comparing takes the same time wherever the difference is.
//   - A right password is hashed once (argon2id, some 40 ms of one core), then recognised by a keyed hash of it in memory; one of
//     these is kept for each user, so memory doesn't grow with calls. A wrong one is hashed each time, few at once, and who would
//     have to wait behind too many others is refused: strangers can't take the cores from those who work.
//   - The file may change at any time (file.go). Users whose line changed or went lose what they have open at once; a file that can't
//     be read or understood changes nothing and is complained of.
//
// The rights are coarse on purpose. What a role may do is one table below; which call needs which right is another, in
// eventstore/server/rules.go. docs/eventstore-access.md says both to operators.
//
// Callers: eventstore/server for each call, and the tool annal, which makes the file's lines. Nothing here knows gRPC.
package access

import (
	"context"
	"slices"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// Right is what a call needs and a user has: a set of bits.
type Right uint8

// Rights. The zero Right is what everybody has, also who gave no name.
const (
	Read   Right = 1 << iota // read streams, the log and metadata; subscribe; consume through a persistent group
	Append                   // append to streams, and set their metadata
	Delete                   // delete, tombstone and truncate streams
	Groups                   // create, change, replay and delete persistent groups
	System                   // write the store's own streams, whose names begin with $
)

// everything is what an administrator may do.
const everything = Read | Append | Delete | Groups | System

// roles is the table of what each role may do.
var roles = []struct {
	name  string
	right Right
}{
	{"admin", everything},
	{"writer", Read | Append},
	{"reader", Read},
	{"ops", Read | Groups},
}

// Faults of a check. Each says what to do, and nothing about which of name and password was wrong.
var (
	ErrCredentials = fault.New(fault.Unauthenticated, "STORE_CREDENTIALS_WRONG", "no such user, or another password")
	ErrRevoked     = fault.New(fault.Unauthenticated, "STORE_USER_CHANGED", "this user was changed or removed; connect again")
	ErrBusy        = fault.New(fault.Exhausted, "STORE_LOGINS_BUSY", "too many passwords are being checked; try again")
)

// Principal is whoever a call comes from.
type Principal struct {
	Name   string // empty: nobody said
	rights Right
	valid  context.Context // ends with ErrRevoked as its cause when the user is changed or removed
}

// Everyone is the principal of a store without users: whoever connects may do everything.
func Everyone() Principal { return Principal{rights: everything, valid: context.Background()} }

// Anonymous is who gave no credentials to a store that has users. It has no right.
func Anonymous() Principal { return Principal{valid: context.Background()} }

// May reports whether p has the right, or all of several.
func (p Principal) May(r Right) bool { return p.rights&r == r }

// Valid returns a context that ends when p must not go on: its cause is ErrRevoked.
func (p Principal) Valid() context.Context { return p.valid }

// Roles returns the names of the roles there are, the strongest first.
func Roles() []string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.name
	}
	return names
}

// rightsOf returns what the roles, separated by commas, allow together.
func rightsOf(list string) (Right, error) {
	var all Right
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(roles, func(r struct {
			name  string
			right Right
		}) bool {
			return r.name == name
		})
		if i < 0 {
			return 0, fault.Newf(fault.Invalid, "ROLE_UNKNOWN", "%q is no role of the event store; the roles are %s", name, strings.Join(Roles(), ", "))
		}
		all |= roles[i].right
	}
	return all, nil
}
