package officialsuite

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/annalhq/annal/eventstore/server"
)

// security is what a store over TLS needs: a certificate for 127.0.0.1 (localhost may be ::1 first, where nobody listens), the user that the suite knows, and a certificate of an authority that
// has nothing to do with it. The zero value means no TLS.
type security struct {
	cert, key string // files, PEM
	users     string // file
	untrusted string // file, PEM
}

func newSecurity(t *testing.T) security {
	t.Helper()
	dir := t.TempDir()
	s := security{cert: filepath.Join(dir, "node.crt"), key: filepath.Join(dir, "node.key"), users: filepath.Join(dir, "users"), untrusted: filepath.Join(dir, "untrusted.crt")}
	selfSigned(t, "127.0.0.1", s.cert, s.key)
	selfSigned(t, "somebody else", s.untrusted, filepath.Join(dir, "untrusted.key"))
	write(t, s.users, []byte(suiteUser("admin", "changeit")))
	return s
}

func (s security) config() server.Config {
	return server.Config{Grace: time.Second, TLSCert: s.cert, TLSKey: s.key, Users: s.users}
}

// suiteUser is an administrator's line in the file of users. The suite's password is shorter than new ones may be, so its hash is made here.
func suiteUser(name, password string) string {
	const memory, passes, lanes = 1 << 10, 1, 1
	salt := []byte("16 bytes of salt")
	sum := argon2.IDKey([]byte(password), salt, passes, memory, lanes, 32)
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s:admin:$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s\n", name, argon2.Version, memory, passes, lanes, text(salt), text(sum))
}

// install puts the certificates where the suite looks for them.
func (s security) install(t *testing.T, dir string) {
	t.Helper()
	if s.cert == "" {
		return
	}
	for to, from := range map[string]string{"node/node.crt": s.cert, "untrusted-ca/ca.crt": s.untrusted} {
		to = filepath.Join(dir, "certs", filepath.FromSlash(to))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, to, read(t, from))
	}
}

// selfSigned writes a certificate which is its own authority, and its key.
func selfSigned(t *testing.T, name, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
