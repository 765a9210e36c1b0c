package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/access"
)

// Secured is a store with TLS and users, whose certificate an authority of its own has signed.
type Secured struct {
	*Store
	CAFile    string // certificate of the authority
	CertFile  string
	KeyFile   string
	UsersFile string

	authority *authority
}

// Password is the one that Someone gives to a user.
func Password(name string) string { return "the password of " + name }

// Someone makes a user. Its password is Password(name).
func Someone(name, roles string) access.User {
	u, err := access.New(name, roles, []byte(Password(name)))
	if err != nil {
		panic(err) //nolint:forbidigo // a test's own mistake
	}
	return u
}

// StartSecured starts an empty store with these users. It ends with the test.
func StartSecured(t testing.TB, users ...access.User) *Secured {
	t.Helper()
	return StartSecuredWith(t, server.Config{}, users...)
}

// StartSecuredWith is StartSecured with settings; those for TLS and users are filled in. Files are looked at for changes every 10 ms.
func StartSecuredWith(t testing.TB, cfg server.Config, users ...access.User) *Secured {
	t.Helper()
	dir := t.TempDir()
	s := &Secured{
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "node.pem"), KeyFile: filepath.Join(dir, "node.key"),
		UsersFile: filepath.Join(dir, "users"), authority: newAuthority(t),
	}
	writePEM(t, s.CAFile, "CERTIFICATE", s.authority.der)
	s.Renew(t)
	for _, u := range users {
		if _, err := access.Put(s.UsersFile, u); err != nil {
			t.Fatal(err)
		}
	}
	cfg.TLSCert, cfg.TLSKey, cfg.Users, cfg.Recheck = s.CertFile, s.KeyFile, s.UsersFile, 10*time.Millisecond
	s.Store = StartWith(t, cfg)
	s.URL = s.url("", "")
	return s
}

// As returns the connection string of a user that Someone made.
func (s *Secured) As(name string) string { return s.url(name, Password(name)) }

// With returns the connection string with this password.
func (s *Secured) With(name, password string) string { return s.url(name, password) }

func (s *Secured) url(name, password string) string {
	u := url.URL{Scheme: "esdb", Host: s.Addr(), RawQuery: url.Values{"tlsCAFile": {s.CAFile}}.Encode()}
	if name != "" {
		u.User = url.UserPassword(name, password)
	}
	return u.String()
}

// Renew writes a new certificate for 127.0.0.1 and localhost, and returns its serial number.
func (s *Secured) Renew(t testing.TB) *big.Int {
	t.Helper()
	return s.issue(t, time.Now().Add(24*time.Hour))
}

// Expire writes a certificate whose time is over.
func (s *Secured) Expire(t testing.TB) {
	t.Helper()
	s.issue(t, time.Now().Add(-time.Minute))
}

func (s *Secured) issue(t testing.TB, until time.Time) *big.Int {
	t.Helper()
	key := newKey(t)
	node := template("node")
	node.NotAfter = until
	node.IPAddresses, node.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, []string{"localhost"}
	node.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, node, s.authority.cert, key.Public(), s.authority.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, s.KeyFile, "PRIVATE KEY", secret)
	writePEM(t, s.CertFile, "CERTIFICATE", der)
	return node.SerialNumber
}

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	der  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	ca := template("annal test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	var err error
	if a.der, err = x509.CreateCertificate(rand.Reader, ca, ca, a.key.Public(), a.key); err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(a.der); err != nil {
		t.Fatal(err)
	}
	return a
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) //nolint:forbidigo // it never fails (crypto/rand)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
