package notify_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/notify/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func started(t *testing.T) *sink.Sink {
	t.Helper()
	s, err := sink.New(sink.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func adapter(t *testing.T, address string) *notify.SMTP {
	t.Helper()
	m, err := notify.NewSMTP(notify.SMTPConfig{Address: address, From: "The Shop <shop@annal.internal>", Security: notify.Plain, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMailArrivesInTheSink(t *testing.T) {
	s := started(t)
	message := notify.Message{ID: "n1@annal.internal", To: "ada@example.org", Subject: "Grüße", Text: "Überraschung\n.\nEnde\n", Language: "de"}
	if err := adapter(t, s.Addr()).Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	mails, err := s.Mails()
	if err != nil || len(mails) != 1 {
		t.Fatalf("%v, %v", mails, err)
	}
	if m := mails[0]; m.ID != message.ID || m.To != "<ada@example.org>" || !strings.Contains(m.Body, "Ende") {
		t.Errorf("%+v", m)
	}
}

func TestRefusalsAreFinalAndTheRestIsTriedAgain(t *testing.T) {
	s := started(t)
	m := adapter(t, s.Addr())
	to := func(address string) error {
		return m.Send(t.Context(), notify.Message{ID: "n1@annal.internal", To: address, Subject: "s", Text: "t"})
	}
	s.Refuse(550)
	refused := to("sentinel@example.org")
	if !errors.Is(refused, notify.ErrRefused) || strings.Contains(refused.Error(), "sentinel") {
		t.Errorf("refused: %v", refused)
	}
	s.Refuse(451)
	if err := to("sentinel@example.org"); !fault.KindOf(err).Retryable() || strings.Contains(err.Error(), "sentinel") {
		t.Errorf("busy: %v", err)
	}
	if err := to("not an address"); !errors.Is(err, notify.ErrRefused) || strings.Contains(err.Error(), "not an") {
		t.Errorf("malformed: %v", err)
	}
	if err := to("ada@example.org\r\nBcc: eve@example.org"); !errors.Is(err, notify.ErrRefused) {
		t.Errorf("header injected: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = adapter(t, l.Addr().String()).Send(t.Context(), notify.Message{ID: "n@annal.internal", To: "ada@example.org"})
	if !fault.KindOf(err).Retryable() {
		t.Errorf("no server: %v", err)
	}
}

func TestTheSinkStaysAtHome(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:25", "example.org:25", "x"} {
		if _, err := sink.New(sink.Config{Listen: address, Dir: t.TempDir()}); !errors.Is(err, sink.ErrLoopback) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	for _, c := range []notify.SMTPConfig{
		{}, {Address: "mail", From: "a@b.org"}, {Address: "mail:25", From: "nobody"}, {Address: "mail:25", From: "a@b.org", Security: "rot13"},
		{Address: "mail:25", From: "a@b.org", Security: notify.Plain, Username: "u", Password: "p"},
	} {
		if _, err := notify.NewSMTP(c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestEveryTemplateIsToldInEveryLanguage(t *testing.T) {
	data := map[string]string{"number": "ABCD-EFGH-JKLM", "total": "12.34 GBP", "tracking": "T1", "reason": "out of stock", "amount": "1.00 GBP"}
	for _, name := range []string{"order-confirmed", "order-cancelled", "order-shipped", "order-refunded"} {
		told := map[string]string{}
		for _, language := range []string{"en", "de", "de-CH", "fr"} {
			subject, text, err := notify.Render(name, language, data)
			if err != nil || !strings.Contains(subject, data["number"]) || strings.Contains(text, "<no value>") || text == "" {
				t.Errorf("%s in %s: %q, %q, %v", name, language, subject, text, err)
			}
			told[language] = text
		}
		if told["de-CH"] != told["de"] || told["fr"] != told["en"] || told["de"] == told["en"] {
			t.Errorf("%s: languages are mixed up", name)
		}
		if _, text, err := notify.Render(name, "en", nil); err != nil || strings.Contains(text, "no value") {
			t.Errorf("%s without data: %q, %v", name, text, err)
		}
	}
	if notify.Known("love-letter") || notify.Known("") || !notify.Known("order-confirmed") {
		t.Error("Known does not know")
	}
}
