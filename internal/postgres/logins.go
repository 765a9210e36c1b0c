package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/fault"
)

// Logins leaves every URL of a service working. One whose user is the service's role itself (RoleName) and that the server
// refuses gives that role LOGIN and the URL's password; any other login is an administrator's to make. The roles are
// there by now (Grant).
//
// Faults: POSTGRES_ROLES_REFUSED if the owner may not change the role, PASSWORD_UNFIT, and those of Open.
func (a Access) Logins(ctx context.Context) error {
	for _, s := range Services() {
		url := a.Own[s]
		if url == "" || a.OneLogin {
			continue
		}
		err := a.try(ctx, s)
		if fault.CodeOf(err) == "POSTGRES_LOGIN_REFUSED" {
			if err = a.giveLogin(ctx, s, url, err); err == nil {
				err = a.try(ctx, s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a Access) try(ctx context.Context, s Service) error {
	pool, err := a.Open(ctx, s, Config{MaxConns: 1, Application: "annal-look"})
	if err == nil {
		pool.Close()
	}
	return err
}

// giveLogin returns refusal if the URL's user is not the role itself.
func (a Access) giveLogin(ctx context.Context, s Service, url string, refusal error) error {
	own, err := poolConfig(url, Config{service: s}.withDefaults())
	if err != nil {
		return err
	}
	database, login := databaseOf(own.ConnConfig), own.ConnConfig.User
	if login != RoleName(database, s) {
		return refusal
	}
	verifier, err := scramVerifier(own.ConnConfig.Password)
	if err != nil {
		return err
	}
	owner, err := poolConfig(a.Owner, Config{Application: "annal-grant"}.withDefaults())
	if err != nil {
		return err
	}
	owner.ConnConfig.Tracer = nil // the statement holds what a password can be guessed by
	conn, err := pgx.ConnectConfig(ctx, owner.ConnConfig)
	if err != nil {
		return unavailable(err)
	}
	role := pgx.Identifier{login}.Sanitize()
	_, err = conn.Exec(ctx, "ALTER ROLE "+role+" LOGIN PASSWORD '"+verifier+"'") // base64 and digits need no escape
	if err == nil {
		_, err = conn.Exec(ctx, "GRANT CONNECT ON DATABASE "+pgx.Identifier{database}.Sanitize()+" TO "+role)
	}
	err = errors.Join(err, conn.Close(ctx))
	if sqlState(err) == "42501" {
		return fault.Newf(fault.Denied, "POSTGRES_ROLES_REFUSED", "the login of ANNAL_POSTGRES_URL may not give %s a password; let an administrator run ALTER ROLE %s LOGIN PASSWORD '...'", login, role)
	}
	return unavailable(err)
}

// scramVerifier is what PostgreSQL keeps of a password (RFC 5803; manual, 53.8 pg_authid), so that the password itself is in no
// statement and no server log.
func scramVerifier(password string) (string, error) {
	if password == "" || strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fault.New(fault.Invalid, "PASSWORD_UNFIT", "a service's URL that is to become a login needs a password of printable ASCII")
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fault.Wrap(err, fault.Internal, "NO_RANDOMNESS", "no randomness")
	}
	const rounds = 4096
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "PASSWORD_UNFIT", "the password can't be hashed")
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
