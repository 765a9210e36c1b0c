// Package reach says why a peer could not be reached, in the words of whoever has to mend it: where it was looked for, what
// happened there, since when, and which setting says so.
//
// An Error is the cause of a fault, never its message: it names hosts, which the users of the API don't get to see. Logs print causes;
// readiness, which operators read, asks for it with errors.As. It never holds a password, since it is made of addresses.
package reach

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Error says why the peer at Address could not be reached.
type Error struct {
	Address string    // host:port
	Reason  string    // in a few words: Reason of the error, or "credentials refused"
	Setting string    // the environment variable that says where the peer is and who we are
	Since   time.Time // of the first failure since it was there; zero: not known
	cause   error
}

// New returns the reason why address could not be reached; cause is what the dial, the handshake or the login came back with.
func New(address, setting, reason string, cause error) *Error {
	return &Error{Address: address, Setting: setting, Reason: reason, cause: cause}
}

// From is a copy of e that knows since when.
func (e *Error) From(since time.Time) *Error {
	c := *e
	c.Since = since
	return &c
}

// Error returns all but the cause, whose text is the peer's or a library's.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Address, e.Reason)
	if !e.Since.IsZero() {
		text += ", since " + e.Since.UTC().Format(time.RFC3339)
	}
	return text + "; see " + e.Setting
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Reason says what an error of a dial or of a TLS handshake means.
func Reason(err error) string {
	var name *net.DNSError
	var plain tls.RecordHeaderError
	var stranger x509.UnknownAuthorityError
	var other x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	var slow net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "name not known"
	case errors.As(err, &name):
		return "name could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the host"
	case errors.As(err, &plain):
		return "TLS handshake failed, the other side speaks no TLS"
	case errors.As(err, &stranger):
		return "TLS handshake failed, nobody who is trusted here vouches for the certificate"
	case errors.As(err, &other):
		return "TLS handshake failed, the certificate is for another name"
	case errors.As(err, &invalid):
		return "TLS handshake failed, the certificate is expired or not valid"
	case errors.As(err, &alert):
		return "TLS handshake failed, the other side refused it"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection ended by the other side"
	}
	return "no answer that could be understood"
}

// Knock dials address, and shakes hands if conf is not nil. It is for clients whose library keeps the reason of a failed connection to
// itself, or makes mere text of it.
func Knock(ctx context.Context, address string, conf *tls.Config) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written over it
	if conf == nil {
		return nil
	}
	conf = conf.Clone()
	if conf.ServerName == "" {
		if conf.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return err
		}
	}
	return tls.Client(conn, conf).HandshakeContext(ctx)
}
