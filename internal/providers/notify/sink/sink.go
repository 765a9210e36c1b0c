// Package sink is a small mail server for development: it takes every mail and delivers none.
//
// Each mail becomes a file <time>-<serial>-<hash>.eml in a directory, written whole or not at all, that any mail program
// opens. It listens on loopback only, so that nobody else's mail comes here, and has no authentication. `make run` starts it; tests
// start one each and look with Mails. What is in the directory is what people were told, in the clear: it stands for their
// mailboxes, not for anything of ours.
package sink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/annalhq/annal/internal/fault"
)

// Config tunes a Sink.
type Config struct {
	Listen string // loopback host:port; default 127.0.0.1:0
	Dir    string // where the mails go; required
}

// Sink is the server.
type Sink struct {
	dir      string
	listener net.Listener
	server   *smtp.Server
	refusal  atomic.Pointer[smtp.SMTPError]
	serial   atomic.Int64
}

// The faults of a sink.
var (
	ErrLoopback = fault.New(fault.Invalid, "SINK_NOT_LOOPBACK", "the mail sink listens on loopback only, such as 127.0.0.1:2525")
	ErrSink     = fault.New(fault.Unavailable, "SINK_UNAVAILABLE", "the mail sink can't listen, or can't use its directory")
)

// maxMail is the longest mail taken, in bytes.
const maxMail = 1 << 20

// New listens and makes the directory. Run serves. Faults: ErrLoopback, ErrSink.
func New(cfg Config) (*Sink, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, ErrLoopback
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fault.Wrap(err, ErrSink.Kind, ErrSink.Code, ErrSink.Message)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.Listen) // a loopback address: it can't hang
	if err != nil {
		return nil, fault.Wrap(err, ErrSink.Kind, ErrSink.Code, ErrSink.Message)
	}
	s := &Sink{dir: cfg.Dir, listener: listener}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }))
	s.server.Domain = "sink.annal.internal"
	s.server.MaxMessageBytes = maxMail
	s.server.MaxRecipients = 10
	s.server.ReadTimeout, s.server.WriteTimeout = 30*time.Second, 30*time.Second
	s.server.ErrorLog = silent{}
	return s, nil
}

// Addr returns host:port.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, lets mails that are coming in finish for two seconds, and returns nil.
func (s *Sink) Run(ctx context.Context) error {
	var ending sync.WaitGroup
	served, stop := context.WithCancel(ctx)
	ending.Go(func() {
		<-served.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.server.Shutdown(grace) != nil {
			_ = s.server.Close() // connections that idle; there is nothing to lose
		}
	})
	err := s.server.Serve(s.listener)
	stop()
	ending.Wait()
	if err == nil || errors.Is(err, smtp.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fault.Wrap(err, ErrSink.Kind, ErrSink.Code, ErrSink.Message)
}

// Refuse makes the sink answer every recipient with the code, such as 550 or 451, until it is called with 0.
func (s *Sink) Refuse(code int) {
	if code == 0 {
		s.refusal.Store(nil)
		return
	}
	s.refusal.Store(&smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "refused as told"})
}

// Mail is a mail in the sink.
type Mail struct {
	File    string
	ID      string // without brackets
	To      string
	Subject string // as it stands in the header, maybe encoded (RFC 2047)
	Body    string // as it stands in the mail, maybe encoded
}

// Mails returns what the sink took, oldest first. Fault: ErrSink.
func (s *Sink) Mails() ([]Mail, error) { return Read(s.dir) }

// Read returns the mails in a sink's directory, oldest first. Fault: ErrSink.
func Read(dir string) ([]Mail, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		return nil, fault.Wrap(err, ErrSink.Kind, ErrSink.Code, ErrSink.Message)
	}
	slices.Sort(names)
	var all []Mail
	for _, name := range names {
		m, err := readMail(name)
		if err != nil {
			return nil, fault.Wrap(err, ErrSink.Kind, ErrSink.Code, ErrSink.Message)
		}
		all = append(all, m)
	}
	return all, nil
}

func readMail(name string) (Mail, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return Mail{}, err
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, err
	}
	body, err := io.ReadAll(m.Body)
	return Mail{File: name, ID: strings.Trim(m.Header.Get("Message-Id"), "<>"), To: m.Header.Get("To"),
		Subject: m.Header.Get("Subject"), Body: string(body)}, err
}

// keep writes one mail under a name that sorts by time and tells a second delivery from the first.
func (s *Sink) keep(raw []byte) error {
	sum := sha256.Sum256(raw)
	stamp := time.Now().UTC().Format("20060102T150405.000000000")
	name := fmt.Sprintf("%s-%06d-%s", stamp, s.serial.Add(1), hex.EncodeToString(sum[:4]))
	half := filepath.Join(s.dir, name+".part")
	if err := os.WriteFile(half, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(half, filepath.Join(s.dir, name+".eml"))
}

// A session takes one connection's mails.
type session struct{ sink *Sink }

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	if refusal := s.sink.refusal.Load(); refusal != nil {
		return refusal
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.sink.keep(raw) != nil {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the sink can't keep the mail"}
	}
	return nil
}

func (s *session) Reset() {}

func (s *session) Logout() error { return nil }

// silent drops what the library would print: protocol errors of clients that went away.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
