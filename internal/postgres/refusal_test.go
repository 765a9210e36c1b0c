package postgres_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
)

// Each reason why a server can't be used has a code and tells no password; what only a change of settings mends names the setting, and a server
// that is away its address.
func TestWhyADatabaseCanNotBeUsed(t *testing.T) {
	t.Parallel()
	good := testenv.Postgres(t)
	for code, change := range map[string]func(*url.URL){
		"POSTGRES_LOGIN_REFUSED":    func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "hunter2") },
		"POSTGRES_DATABASE_MISSING": func(u *url.URL) { u.Path = "/nowhere" },
		"POSTGRES_UNAVAILABLE":      func(u *url.URL) { u.Host, u.User = "127.0.0.1:1", url.UserPassword("annal", "hunter2") },
	} {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		secret, _ := u.User.Password()
		change(u)
		_, err = postgres.Open(context.Background(), u.String(), postgres.Config{})
		if fault.CodeOf(err) != code {
			t.Errorf("want %s, got %v", code, err)
			continue
		}
		text := err.Error()
		names := "ANNAL_POSTGRES_URL"
		if code == "POSTGRES_UNAVAILABLE" {
			names = "127.0.0.1:1"
		}
		if !strings.Contains(text, names) || strings.Contains(text, "hunter2") || strings.Contains(text, secret) {
			t.Errorf("%s: %s", code, text)
		}
	}
}
