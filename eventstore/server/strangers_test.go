package server_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// Who may not call is told so before a byte of the request is taken; what is open to everybody is answered without one.
func TestNobodyIsReadBeforeTheGate(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"))
	conn := dialTLS(t, s)
	for method := range s.Server().Served() {
		call, err := conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
		if err != nil {
			t.Fatal(err)
		}
		var answer []byte
		err = call.RecvMsg(&answer)
		if open := strings.Contains(method, "gossip") || strings.Contains(method, "server_features"); open && err != nil || !open && status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// A client may send so much ahead for a call, and no more however fast it is.
func TestWhatIsSentAheadIsBounded(t *testing.T) {
	conn, err := net.Dial("tcp", servertest.StartWith(t, storeConfig()).Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9) // RFC 9113, 4.1 and 6.5: length, type, flags, stream; then settings of 6 bytes
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("%x %v", head, err)
	}
	settings := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 4 { // SETTINGS_INITIAL_WINDOW_SIZE
			if n := binary.BigEndian.Uint32(settings[2:]); n == 1<<20 {
				return
			}
		}
	}
	t.Error("the window of a call is not a fixed one of 1 MiB")
}

func TestStrangersDoNotKeepUsersOut(t *testing.T) {
	const limit = 8
	s := servertest.StartSecuredWith(t, server.Config{MaxConnections: limit}, servertest.Someone("ada", "admin"))
	ask := func(c *grpc.ClientConn) error {
		_, err := count(as(t, "ada", servertest.Password("ada")), streams.NewStreamsClient(c), request())
		return err
	}
	first := dialTLS(t, s)
	open, err := streams.NewStreamsClient(first).Read(as(t, "ada", servertest.Password("ada")), request(subscribing))
	if err == nil {
		_, err = open.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 * limit {
		var c net.Conn
		if n%2 == 0 {
			c, err = net.Dial("tcp", s.Addr()) // says nothing
		} else {
			c, err = tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // and no more
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	anonymous := dialTLS(t, s)
	if _, err := serverfeatures.NewServerFeaturesClient(anonymous).GetSupportedMethods(within(t), &shared.Empty{}); err != nil {
		t.Errorf("who is about to log in: %v", err)
	}
	users := make([]*grpc.ClientConn, limit-1)
	for i := range users {
		users[i] = dialTLS(t, s)
		if err := ask(users[i]); err != nil {
			t.Errorf("user %d: %v", i, err)
		}
	}
	if err := ask(dialTLS(t, s)); status.Code(err) != codes.Unavailable {
		t.Errorf("one user too many: %v", err)
	}
	if _, _, err := appendOf(as(t, "ada", servertest.Password("ada")), streams.NewStreamsClient(users[0]), appendTo("order-1"), proposing("t", nil)); err != nil {
		t.Error(err)
	}
	for {
		m, err := open.Recv()
		if err != nil {
			t.Fatalf("who was there: %v", err)
		}
		if m.GetEvent() != nil {
			return
		}
	}
}

func TestGuessesTakeNoPlaceOfThoseWhoWork(t *testing.T) {
	s := servertest.StartSecuredWith(t, server.Config{MaxCalls: 4}, servertest.Someone("ada", "admin"))
	api := streams.NewStreamsClient(dialTLS(t, s))
	if _, err := count(as(t, "ada", servertest.Password("ada")), api, request()); err != nil {
		t.Fatal(err)
	}
	guesser := streams.NewStreamsClient(dialTLS(t, s))
	var guesses sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		guesses.Go(func() {
			for range 3 {
				_, _ = count(as(t, "ada", "the same guess"), guesser, request())
			}
		})
	}
	go func() { guesses.Wait(); close(done) }()
	for n := 0; ; n++ {
		if _, err := count(as(t, "ada", servertest.Password("ada")), api, request()); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestGarbageOnATLSPort(t *testing.T) {
	s := servertest.StartSecuredWith(t, storeConfig(), servertest.Someone("ada", "admin"))
	for name, text := range map[string]string{
		"nothing": "", "HTTP/1.1": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plain HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"half a handshake": "\x16\x03\x01\x40\x00\x01", "a record of 64 KiB": "\x16\x03\x03\xff\xff", "an alert": "\x15\x03\x03\x00\x02\x02\x28",
	} {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Errorf("%s: the connection is kept", name)
		}
		_ = conn.Close()
	}
	for name, conf := range map[string]*tls.Config{
		"TLS 1.1":      {MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10, InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		"a weak suite": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}, InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		if c, err := tls.Dial("tcp", s.Addr(), conf); err == nil {
			_ = c.Close()
			t.Errorf("%s is spoken", name)
		}
	}
	if _, err := count(as(t, "ada", servertest.Password("ada")), streams.NewStreamsClient(dialTLS(t, s)), request()); err != nil {
		t.Error(err)
	}
}

func TestWhatMakesACertificateWorthlessIsLogged(t *testing.T) {
	s := servertest.StartSecured(t, servertest.Someone("ada", "admin"))
	db, err := engine.Open(t.TempDir(), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	said := func() string {
		var log strings.Builder
		if _, err := server.New(db, server.Config{TLSCert: s.CertFile, TLSKey: s.KeyFile, Users: s.UsersFile, Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	if text := said(); text != "" {
		t.Errorf("nothing is wrong: %s", text)
	}
	if err := os.Chmod(s.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if text := said(); !strings.Contains(text, "may read the key") || !strings.Contains(text, s.KeyFile) {
		t.Errorf("a key for everybody: %q", text)
	}
	s.Expire(t)
	if text := said(); !strings.Contains(text, "has expired") {
		t.Errorf("a certificate of the past: %q", text)
	}
}

// Who makes one complaint all the time hides no other with it, and what a caller sends doesn't fill the log.
func TestComplaintsOfAKindHideNoOther(t *testing.T) {
	var log strings.Builder
	s := servertest.StartSecuredWith(t, server.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, servertest.Someone("rea", "reader"))
	conn := dialTLS(t, s)
	all := calls(conn)
	for range 3 {
		if err := all["read"](as(t, "rea", "a guess")); status.Code(err) != codes.Unauthenticated {
			t.Fatal(err)
		}
	}
	if err := all["tombstone"](as(t, "rea", servertest.Password("rea"))); status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
	if err := conn.Invoke(within(t), "/a.service/"+strings.Repeat("x", 30_000), &shared.Empty{}, &shared.Empty{}); status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
	s.Stop()
	text := log.String()
	for _, want := range []string{"wrong credentials", "user=rea", "without credentials"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not said once", want)
		}
	}
	if len(text) > 4000 {
		t.Errorf("%d bytes of log", len(text))
	}
}
