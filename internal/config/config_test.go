package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
)

func TestWhatIsNotInTheTableIsRefused(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "url")
	for _, tc := range []struct {
		name, code, says string
		environ          []string
	}{
		{"a misspelt name", "SETTING_UNKNOWN", "ANNAL_POSTGRES_ULR", []string{"ANNAL_POSTGRES_ULR=x"}},
		{"all at once, with what was meant", "SETTING_UNKNOWN", "ANNAL_FROBNICATE, ANNAL_LOGLEVEL (did you mean ANNAL_LOG_LEVEL?), ANNAL_POSTGRES_ULR_FILE (did you mean ANNAL_POSTGRES_URL_FILE?) are not settings of Annal",
			[]string{"ANNAL_POSTGRES_ULR_FILE=x", "ANNAL_LOGLEVEL=x", "ANNAL_HOME=y", "ANNAL_FROBNICATE=x"}},
		{"one alone", "SETTING_UNKNOWN", "ANNAL_HOMES (did you mean ANNAL_HOME?) is not a setting of Annal", []string{"ANNAL_HOMES=x"}},
		{"a file for what is no secret", "SETTING_UNKNOWN", "ANNAL_HOME_FILE", []string{"ANNAL_HOME_FILE=x"}},
		{"a file that is not there", "SETTING_FILE_UNREADABLE", "ANNAL_POSTGRES_URL_FILE", []string{"ANNAL_POSTGRES_URL_FILE=" + secret}},
		{"both forms", "SETTING_INVALID", "keep one", []string{"ANNAL_POSTGRES_URL=a", "ANNAL_POSTGRES_URL_FILE=" + secret}},
		{"a number that is none", "SETTING_INVALID", `ANNAL_POSTGRES_MAX_CONNS is a whole number like 16, not "many"`, []string{"ANNAL_POSTGRES_MAX_CONNS=many"}},
		{"a number without a unit", "SETTING_INVALID", `ANNAL_DRAIN_TIMEOUT is a time with a unit like 20s or 1m30s, not "20"`, []string{"ANNAL_DRAIN_TIMEOUT=20"}},
		{"two forms at once", "SETTING_INVALID", `ANNAL_EVENTSTORE_INSECURE is true or false, not "yes"; ANNAL_DRAIN_TIMEOUT is`, []string{"ANNAL_DRAIN_TIMEOUT=20", "ANNAL_EVENTSTORE_INSECURE=yes"}},
		{"no time to drain", "SETTING_INVALID", "ANNAL_DRAIN_TIMEOUT is above zero, not 0s", []string{"ANNAL_DRAIN_TIMEOUT=0s"}},
		{"no connections", "SETTING_INVALID", "above zero", []string{"ANNAL_POSTGRES_MAX_CONNS=0"}},
		{"another mode", "SETTING_INVALID", "ANNAL_MODE", []string{"ANNAL_MODE=test"}},
		{"no address", "SETTING_INVALID", "ANNAL_HTTP_LISTEN", []string{"ANNAL_HTTP_LISTEN=8080"}},
		{"half of a pair", "SETTING_INVALID", "ANNAL_EVENTSTORE_TLS_KEY", []string{"ANNAL_EVENTSTORE_TLS_CERT=x"}},
		{"TLS without users", "SETTING_INVALID", "ANNAL_EVENTSTORE_USERS_FILE", []string{"ANNAL_EVENTSTORE_TLS_CERT=x", "ANNAL_EVENTSTORE_TLS_KEY=x"}},
		{"users without TLS", "SETTING_INVALID", "ANNAL_EVENTSTORE_USERS_FILE", []string{"ANNAL_EVENTSTORE_USERS_FILE=x"}},
		{"an append of nothing", "SETTING_INVALID", "ANNAL_EVENTSTORE_MAX_APPEND", []string{"ANNAL_EVENTSTORE_MAX_APPEND=0"}},
		{"an append beyond the memory", "SETTING_INVALID", "APPEND_MEMORY", []string{"ANNAL_EVENTSTORE_APPEND_MEMORY=1000"}},
		{"no zone", "SETTING_INVALID", "ANNAL_TIMEZONE", []string{"ANNAL_TIMEZONE=Europe/Londn"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := config.Parse(tc.environ)
			if fault.CodeOf(err) != tc.code || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %s: %v", fault.CodeOf(err), err)
			}
		})
	}
}

func TestDefaultsAndForeignVariables(t *testing.T) {
	c, err := config.Parse([]string{"PATH=/bin", "OTEL_SERVICE_NAME=x", "ANNAL_TIMEZONE=Europe/London", "ANNAL_HTTP_LISTEN="})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTPListen != "127.0.0.1:8080" || c.Mode != config.Production || c.Location().String() != "Europe/London" ||
		c.StoreURL() != "esdb://127.0.0.1:2113?tls=false" || !c.StoreIsEmbedded() || c.EventStoreDir != ".annal/eventstore" {
		t.Fatalf("got\n%v", c)
	}
	c.EventStoreURL = "esdb://cluster:2113"
	if c.StoreIsEmbedded() || c.StoreURL() != c.EventStoreURL {
		t.Fatal("somebody's cluster is taken for the embedded store")
	}
}

func TestASecretComesFromAFileAndIsNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://annal:hunter2@db/annal?password=hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]string{"ANNAL_POSTGRES_URL_FILE=" + file})
	if err != nil {
		t.Fatal(err)
	}
	if c.PostgresURL != "postgres://annal:hunter2@db/annal?password=hunter2" {
		t.Fatalf("read %q", c.PostgresURL)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(form, c); strings.Contains(text, "hunter2") || !strings.Contains(text, "ANNAL_POSTGRES_URL=postgres://annal:xxxxx@db/annal") {
			t.Errorf("%s prints %s", form, text)
		}
	}
}

func TestEveryRowIsComplete(t *testing.T) {
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		if name := f.Tag.Get("env"); !strings.HasPrefix(name, "ANNAL_") || f.Tag.Get("doc") == "" {
			t.Errorf("%s: its name %q or its sentence is missing", f.Name, name)
		}
	}
}
