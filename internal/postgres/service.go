package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// A Service is whoever keeps or reads something here under a role of its own.
type Service string

// The services. Their names end the names of the roles.
const (
	Relay     Service = "relay"
	Sagas     Service = "sagas"
	Vault     Service = "vault"
	Projector Service = "projector" // writes the read models' rows; their tables are the owner's
	Queries   Service = "queries"   // reads the read models' views
)

// Services returns them all.
func Services() []Service { return []Service{Relay, Sagas, Vault, Projector, Queries} }

// bounds are what the server ends: a longer statement, a longer wait for a lock, a longer idling inside a transaction.
type bounds struct{ statement, lock, idle time.Duration }

// bounds is the one place that states them. They are far above what the service needs on a busy machine: they end what has
// gone wrong. Whoever must wait longer on one session says so there (the relay's lease, a lock of migrations).
func (s Service) bounds() bounds {
	switch s {
	case Relay: // a checkpoint row
		return bounds{statement: 30 * time.Second, lock: 10 * time.Second, idle: 30 * time.Second}
	case Sagas: // a batch of rows with its checkpoint
		return bounds{statement: 30 * time.Second, lock: 10 * time.Second, idle: 30 * time.Second}
	case Vault: // keys of one request
		return bounds{statement: 15 * time.Second, lock: 5 * time.Second, idle: 15 * time.Second}
	case Projector: // a batch of all read models; folds inside the transaction when it isolates a row
		return bounds{statement: time.Minute, lock: 10 * time.Second, idle: time.Minute}
	case Queries: // a page that somebody waits for
		return bounds{statement: 15 * time.Second, lock: 5 * time.Second, idle: 15 * time.Second}
	default: // the owner
		return bounds{statement: time.Minute, lock: time.Minute, idle: time.Minute}
	}
}

// longestName is what PostgreSQL keeps of a name, in bytes (NAMEDATALEN - 1).
const longestName = 63

// RoleName is the service's role in a database. Roles belong to the whole server, so the database is in the name: two shops,
// or two tests, on one server never share a role. A name that would be cut is shortened with a hash instead.
func RoleName(database string, s Service) string {
	name := database + "_" + string(s)
	if len(name) <= longestName {
		return name
	}
	sum := sha256.Sum256([]byte(database))
	end := "_" + hex.EncodeToString(sum[:4]) + "_" + string(s)
	return strings.ToValidUTF8(database[:longestName-len(end)], "") + end
}
