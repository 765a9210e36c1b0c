package notify

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/annalhq/annal/internal/fault"
)

// SMTPConfig says which mail server takes our mail.
type SMTPConfig struct {
	Address  string        // host:port; required
	From     string        // sender, "shop@example.org" or "The Shop <shop@example.org>"; required
	Security Security      // default StartTLS
	Username string        // "" for no authentication
	Password string        // needs a Security other than Plain
	Timeout  time.Duration // of one mail; default 10 s
}

// Security is how the connection to the mail server is protected.
type Security string

// The ways to protect it.
const (
	StartTLS Security = "starttls" // required, RFC 3207
	TLS      Security = "tls"      // from the first byte
	Plain    Security = "plain"    // not at all: a server on this machine
)

// SMTP sends mail over a mail server. Safe for concurrent use: each mail has a connection of its own.
type SMTP struct {
	cfg     SMTPConfig
	host    string
	options []mail.Option
}

var errSMTPConfig = fault.New(fault.Invalid, "SMTP_CONFIG", "mail needs a server as host:port, a sender, and plain, starttls or tls; a password is never sent in plain")

// NewSMTP returns the adapter; it does not connect. Fault: SMTP_CONFIG.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	host, port, err := net.SplitHostPort(cfg.Address)
	number, bad := strconv.Atoi(port)
	if err != nil || bad != nil || host == "" || mail.NewMsg().From(cfg.From) != nil || (cfg.Password != "" && cfg.Security == Plain) {
		return nil, errSMTPConfig
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	options := []mail.Option{mail.WithPort(number), mail.WithTimeout(cfg.Timeout), mail.WithoutNoop(), mail.WithHELO("annal.internal")}
	switch cfg.Security {
	case StartTLS, "":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case TLS:
		options = append(options, mail.WithSSL())
	case Plain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, errSMTPConfig
	}
	if cfg.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(cfg.Username), mail.WithPassword(cfg.Password))
	}
	return &SMTP{cfg: cfg, host: host, options: options}, nil
}

// Send implements Port.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(s.cfg.From); err != nil {
		return errSMTPConfig
	}
	if err := msg.To(m.To); err != nil {
		return ErrRefused.Because("the mail address is malformed") // the error itself quotes the address
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no replies from holidays
	msg.SetGenHeader("Content-Language", m.Language)
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	client, err := mail.NewClient(s.host, s.options...)
	if err != nil {
		return fault.Wrap(err, errSMTPConfig.Kind, errSMTPConfig.Code, errSMTPConfig.Message)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // what fails after the server took it does not untake it
		return nil
	}
	return refusalOf(err)
}

// refusalOf tells a refusal of this very mail from everything else, which is worth another try. The server's own words
// may quote the address: only its code is passed on.
func refusalOf(err error) error {
	send := (*mail.SendError)(nil)
	if !errors.As(err, &send) {
		return ErrUnavailable
	}
	code := send.ErrorCode()
	concerned := send.Reason == mail.ErrSMTPRcptTo || send.Reason == mail.ErrSMTPData || send.Reason == mail.ErrSMTPDataClose
	if concerned && code >= 500 && code < 600 {
		return ErrRefused.Because("the mail server refused the message with code %d", code)
	}
	return ErrUnavailable.Because("the mail server did not take the message (code %d); it is tried again", code)
}
