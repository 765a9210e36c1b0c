package server

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// A certificate is that of two files, which may be renewed at any time. Connections that exist keep the old one.
type certificate struct {
	cert, key string
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]

	mu       sync.Mutex
	text     []byte // of both files, as now was made of it
	complain string // the last complaint, so that it is said once
}

// loadCertificate reads the two files. Fault: TLS_UNREADABLE.
func loadCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

func (c *certificate) load() (changed bool, err error) {
	cert, err := os.ReadFile(c.cert)
	if err != nil {
		return false, unreadable(err)
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		return false, unreadable(err)
	}
	text := append(append(cert[:len(cert):len(cert)], 0), key...)
	if bytes.Equal(text, c.text) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, unreadable(err)
	}
	c.text = text
	c.now.Store(&pair)
	return true, nil
}

// warn says what makes the certificate worth little. It is no reason to refuse: secrets of some systems are mounted so, and a store that is
// down for a date helps nobody.
func (c *certificate) warn() {
	if info, err := os.Stat(c.key); err == nil && info.Mode().Perm()&0o004 != 0 {
		c.log.Warn("event store: everybody on this machine may read the key of the certificate; chmod 600 it", "file", c.key)
	}
	if ends := c.now.Load().Leaf.NotAfter; !time.Now().Before(ends) {
		c.log.Error("event store: the certificate has expired, clients will refuse it; put a new one in its place, a restart is not needed", "expired", ends)
	}
}

func unreadable(err error) error {
	return fault.Wrap(err, fault.Invalid, "TLS_UNREADABLE", "the TLS certificate or its key can't be read")
}

// refresh takes renewed files over. While one of them is renewed and the other isn't they don't fit: then the old ones stay.
func (c *certificate) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch changed, err := c.load(); {
	case err == nil && changed:
		c.complain = ""
		c.log.Info("event store: the certificate was renewed", "expires", c.now.Load().Leaf.NotAfter)
		c.warn()
	case err == nil:
		c.complain = ""
	case err.Error() != c.complain:
		c.complain = err.Error()
		c.log.Error("event store: the certificate is not renewed, the old one stays", "error", err)
	}
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }}
}
