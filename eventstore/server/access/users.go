package access

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// Bounds of the file.
const (
	maxFile  = 1 << 20
	maxUsers = 10_000
	maxName  = 64
)

// User is a line of the file: who, what for, and the hash of a password. The file's form is
//
//	# a comment
//	name:role,role:$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH
type User struct {
	Name  string
	Roles string // separated by commas
	Hash  string // PHC string
}

// String returns the line. It holds the hash: show Name and Roles to people.
func (u User) String() string { return u.Name + ":" + u.Roles + ":" + u.Hash }

// Parse reads the text of a file of users, in the file's order. Fault: STORE_USERS_MALFORMED, which names the line and never quotes it.
func Parse(text []byte) ([]User, error) {
	if len(text) > maxFile {
		return nil, malformed(0, "the file is larger than 1 MiB")
	}
	var users []User
	known := map[string]bool{}
	for i, raw := range bytes.Split(text, []byte("\n")) {
		line := strings.TrimRight(string(raw), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseLine(line)
		switch {
		case err != nil:
			return nil, malformed(i+1, fault.MessageOf(err))
		case known[u.Name]:
			return nil, malformed(i+1, "the user stands in the file twice")
		case len(users) == maxUsers:
			return nil, malformed(i+1, fmt.Sprintf("the file names more than %d users", maxUsers))
		}
		known[u.Name] = true
		users = append(users, u)
	}
	return users, nil
}

func malformed(line int, why string) error {
	return fault.Newf(fault.Invalid, "STORE_USERS_MALFORMED", "line %d of the event store's users: %s", line, why)
}

func parseLine(line string) (User, error) {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) != 3 {
		return User{}, fault.New(fault.Invalid, "STORE_USERS_MALFORMED", "it is not name:roles:hash")
	}
	u := User{Name: parts[0], Roles: parts[1], Hash: parts[2]}
	if err := u.check(); err != nil {
		return User{}, err
	}
	_, err := parseHash(u.Hash)
	return u, err
}

// check returns a fault for a name or roles that can't be.
func (u User) check() error {
	if u.Name == "" || len(u.Name) > maxName || strings.Trim(u.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@") != "" {
		return fault.Newf(fault.Invalid, "USER_NAME", "a user's name has 1 to %d letters, digits, dots, dashes, underscores and at signs", maxName)
	}
	_, err := rightsOf(u.Roles)
	return err
}

// New makes a user with a password. Faults: USER_NAME, ROLE_UNKNOWN, PASSWORD_UNFIT.
func New(name, roles string, password []byte) (User, error) {
	u := User{Name: name, Roles: roles}
	if err := u.check(); err != nil {
		return User{}, err
	}
	var err error
	u.Hash, err = Hash(password)
	return u, err
}

// account is a user in memory.
type account struct {
	User
	Principal
	hash   hashed
	revoke context.CancelCauseFunc
	known  seal // the right password, once it was seen
}

// A book is the content of a file at one time.
type book struct {
	accounts map[string]*account
	hashes   []hashed // of all, in the file's order; never empty once it is in force
}

// bind makes a book of users. Who stands in the old one with the same line keeps its account, and so what it has open.
func bind(users []User, old *book) (*book, error) {
	b := &book{accounts: make(map[string]*account, len(users))}
	for _, u := range users {
		if a := old.account(u.Name); a != nil && a.User == u {
			b.accounts[u.Name] = a
			continue
		}
		h, err := parseHash(u.Hash)
		if err != nil {
			return nil, err
		}
		rights, err := rightsOf(u.Roles)
		if err != nil {
			return nil, err
		}
		a := &account{User: u, hash: h}
		valid, revoke := context.WithCancelCause(context.Background())
		a.Principal, a.revoke = Principal{Name: u.Name, rights: rights, valid: valid}, revoke
		b.accounts[u.Name] = a
	}
	for _, u := range users {
		b.hashes = append(b.hashes, b.accounts[u.Name].hash)
	}
	return b, nil
}

// hashOf returns what a password of the name is measured against. For a name that isn't there it is somebody's hash, the same each time:
// hashes of a file may cost different times, and if all strangers cost the same, the time would tell who is none.
func (b *book) hashOf(name string, key *[32]byte) hashed {
	if a := b.account(name); a != nil {
		return a.hash
	}
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(name))
	return b.hashes[binary.BigEndian.Uint64(m.Sum(nil))%uint64(len(b.hashes))]
}

func (b *book) account(name string) *account {
	if b == nil {
		return nil
	}
	return b.accounts[name]
}

// replaced revokes the accounts of b that are not in next, and returns their names.
func (b *book) replaced(next *book) (names []string) {
	if b == nil {
		return nil
	}
	for name, a := range b.accounts {
		if next.accounts[name] != a {
			a.revoke(ErrRevoked)
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}
