package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

const whyTimeout = 2 * time.Second // for each of: connecting, shaking hands

// why looks at an event store that does not answer and says what to do about it, or nothing if it can't tell more than that. The client library
// knows the reason as text only; here it is asked for once more, by a connection whose errors have types. Nothing is sent over it.
func why(ctx context.Context, storeURL string) string {
	t, ok := lookAt(storeURL)
	if !ok {
		return ""
	}
	conn, err := (&net.Dialer{Timeout: whyTimeout}).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return unreached(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written over it
	ctx, cancel := context.WithTimeout(ctx, whyTimeout)
	defer cancel()
	return t.spoken(tls.Client(conn, t.trust).HandshakeContext(ctx))
}

// A target is the first server of a store's URL, and whom the URL trusts.
type target struct {
	address string
	plain   bool // tls=false
	trust   *tls.Config
}

// lookAt reads of a URL what why needs; the client has parsed it before. A URL that leaves the servers to DNS has none to look at.
func lookAt(storeURL string) (target, bool) {
	scheme, _, _ := strings.Cut(storeURL, "://")
	if strings.HasSuffix(scheme, "+discover") {
		return target{}, false
	}
	first, _, _ := strings.Cut(address(storeURL), ",")
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		host, port = strings.Trim(first, "[]"), "2113"
	}
	_, query, _ := strings.Cut(storeURL, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return target{}, false
	}
	said := map[string]string{}
	for name := range values {
		said[strings.ToLower(name)] = values.Get(name)
	}
	t := target{address: net.JoinHostPort(host, port), plain: strings.EqualFold(said["tls"], "false"), trust: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}}
	t.trust.InsecureSkipVerify = t.plain || strings.EqualFold(said["tlsverifycert"], "false") // plain: asks only whether TLS is spoken there
	if pem, err := os.ReadFile(said["tlscafile"]); err == nil {
		t.trust.RootCAs = x509.NewCertPool()
		t.trust.RootCAs.AppendCertsFromPEM(pem)
	}
	return t, true
}

// spoken says what a handshake that ended with err tells about the URL.
func (t target) spoken(err error) string {
	var record tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	switch {
	case t.plain && err == nil:
		return "it speaks TLS: take tls=false out of its URL"
	case t.plain:
		return ""
	case errors.As(err, &record):
		return "it speaks no TLS: say tls=false in its URL, if nobody else can reach the way to it"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "nobody whom this machine trusts vouches for its certificate: name the file of its authority in its URL, tlsCAFile=..."
	case errors.As(err, new(x509.HostnameError)):
		return "its certificate is for other names than the one in its URL: use one of those, or have the certificate renewed with this one"
	case errors.As(err, &unverified):
		return "its certificate is not good: " + unverified.Err.Error()
	}
	return ""
}

// unreached says what an error of connecting tells about the URL.
func unreached(err error) string {
	var name *net.DNSError
	var slow net.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "nobody knows the name " + name.Name + ": see the host in its URL"
	case errors.As(err, &slow) && slow.Timeout():
		return "nothing comes back from there: see host and port in its URL, and firewalls on the way"
	}
	return ""
}
