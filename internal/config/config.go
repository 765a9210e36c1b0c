// Package config is the one list of Annal's settings.
//
// Configuration comes from the environment only, under the prefix ANNAL_ (OpenTelemetry's own OTEL_* variables apart). The
// struct below is the table: a row is a name, a default, a sentence. Parse refuses what the table does not know, so that a
// misspelt name fails at start and not in production at night. A row marked secret can also be given as NAME_FILE, the
// path of a file that holds it, and is never printed.
//
// Only programs call Parse (cmd, deploy), once, with os.Environ(); everything below them takes values. To add a setting, add
// a row: it is documented by `annald --print-config` and by the guard of the tests at once.
//
// Faults: SETTING_UNKNOWN, SETTING_INVALID, SETTING_FILE_UNREADABLE; all of kind invalid, and each names the variable and
// never its value if it is a secret.
package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"
	_ "time/tzdata" // ANNAL_TIMEZONE must work on machines without a zone database

	"github.com/caarlos0/env/v11"

	"github.com/annalhq/annal/internal/fault"
)

// prefix begins every name of ours.
const prefix = "ANNAL_"

// Mode says whether what is only fit for a developer's machine is allowed.
type Mode string

// The modes.
const (
	Production  Mode = "production"
	Development Mode = "development" // simulators, a local administrator and a default vault key are allowed
)

// Config is the table. Every field is a row: env is its name, doc its sentence, secret marks what is never printed.
type Config struct {
	Mode Mode   `env:"ANNAL_MODE" envDefault:"production" doc:"production or development; development allows simulators, the local administrator and a default vault key"`
	Home string `env:"ANNAL_HOME" envDefault:".annal" doc:"where this copy keeps its files"`

	HTTPListen  string `env:"ANNAL_HTTP_LISTEN" envDefault:"127.0.0.1:8080" doc:"address of /graphql, /livez and /readyz"`
	AdminListen string `env:"ANNAL_ADMIN_LISTEN" envDefault:"127.0.0.1:8081" doc:"address of /metrics and /debug/pprof; never expose it"`

	PostgresURL          string `env:"ANNAL_POSTGRES_URL" secret:"url" doc:"postgres://user:password@host:5432/database, of the login that owns the schemas; empty: this process migrates nothing and each service has a URL of its own"`
	PostgresRoles        string `env:"ANNAL_POSTGRES_ROLES" envDefault:"own" doc:"own: each service acts in a role of its own; none: as the login of its URL"`
	PostgresRelayURL     string `env:"ANNAL_POSTGRES_RELAY_URL" secret:"url" doc:"login of the relay alone; empty: ANNAL_POSTGRES_URL's, acting in the service's role; so are the next four"`
	PostgresSagasURL     string `env:"ANNAL_POSTGRES_SAGAS_URL" secret:"url" doc:"login of the sagas alone"`
	PostgresVaultURL     string `env:"ANNAL_POSTGRES_VAULT_URL" secret:"url" doc:"login of the vault alone; api and worker open it"`
	PostgresProjectorURL string `env:"ANNAL_POSTGRES_PROJECTOR_URL" secret:"url" doc:"login of the projector alone"`
	PostgresQueriesURL   string `env:"ANNAL_POSTGRES_QUERIES_URL" secret:"url" doc:"login of the API's queries alone"`
	PostgresMaxConns     int32  `env:"ANNAL_POSTGRES_MAX_CONNS" envDefault:"16" doc:"connections of each service of this process at most"`

	RabbitMQURL        string `env:"ANNAL_RABBITMQ_URL" secret:"url" doc:"amqp://user:password@host:5672/vhost"`
	RabbitMQManagement string `env:"ANNAL_RABBITMQ_MANAGEMENT_URL" secret:"url" doc:"http://user:password@host:15672; only tests and the tool use it"`

	EventStoreURL     string `env:"ANNAL_EVENTSTORE_URL" secret:"url" doc:"esdb://host:2113?tls=...; empty: the store of the role eventstore at ANNAL_EVENTSTORE_LISTEN"`
	EventStoreListen  string `env:"ANNAL_EVENTSTORE_LISTEN" envDefault:"127.0.0.1:2113" doc:"address of the role eventstore"`
	EventStoreDir     string `env:"ANNAL_EVENTSTORE_DIR" doc:"its data directory; default eventstore below ANNAL_HOME"`
	EventStoreBackups string `env:"ANNAL_EVENTSTORE_BACKUPS" doc:"where its backups are kept; default backups below ANNAL_HOME; on another disk they survive its own"`
	EventStoreReserve int64  `env:"ANNAL_EVENTSTORE_RESERVE_BYTES" envDefault:"268435456" doc:"the embedded store refuses appends while fewer bytes are free on its disk; 0: never"`
	EventStoreTLSCert string `env:"ANNAL_EVENTSTORE_TLS_CERT" doc:"its certificate, a PEM file; empty: no TLS, and no users"`
	EventStoreTLSKey  string `env:"ANNAL_EVENTSTORE_TLS_KEY" doc:"the certificate's key, a PEM file"`
	EventStoreUsers   string `env:"ANNAL_EVENTSTORE_USERS_FILE" doc:"its users, a file of lines that annal store user add writes; needed with TLS, refused without"`

	EventStoreInsecure       bool   `env:"ANNAL_EVENTSTORE_INSECURE" envDefault:"false" doc:"true lets it listen beyond this machine without TLS: whoever reaches the port may then read and write everything"`
	EventStoreAdvertise      string `env:"ANNAL_EVENTSTORE_ADVERTISE" doc:"host:port by which clients that discover it (esdb+discover) reach it; empty: the address that they have reached"`
	EventStoreMaxAppend      int    `env:"ANNAL_EVENTSTORE_MAX_APPEND" envDefault:"1048576" doc:"bytes of one append's events at most; up to 16 MiB"`
	EventStoreMaxConnections int    `env:"ANNAL_EVENTSTORE_MAX_CONNECTIONS" envDefault:"4096" doc:"connections at most; newer ones are hung up on"`
	EventStoreMaxCalls       int    `env:"ANNAL_EVENTSTORE_MAX_CALLS" envDefault:"16384" doc:"calls in progress at most, subscriptions included; newer ones are refused"`
	EventStoreAppendMemory   int64  `env:"ANNAL_EVENTSTORE_APPEND_MEMORY" envDefault:"268435456" doc:"bytes that appends may hold together until they are answered"`

	VaultKey string `env:"ANNAL_VAULT_KEY" secret:"yes" doc:"32 bytes in base64 that wrap the keys of personal data; in development one is drawn and kept below ANNAL_HOME"`
	TokenKey string `env:"ANNAL_TOKEN_KEY" secret:"yes" doc:"32 bytes in base64, the seed of the Ed25519 key of bearer tokens; in development one is drawn and kept below ANNAL_HOME"`

	SMTPAddress  string `env:"ANNAL_SMTP_ADDRESS" doc:"mail server as host:port; empty in development: a sink that keeps mails in the folder mail below ANNAL_HOME"`
	SMTPFrom     string `env:"ANNAL_SMTP_FROM" envDefault:"Annal <shop@localhost>" doc:"sender of mails"`
	SMTPSecurity string `env:"ANNAL_SMTP_SECURITY" envDefault:"starttls" doc:"starttls, tls or plain (a server on this machine)"`
	SMTPUser     string `env:"ANNAL_SMTP_USER" doc:"user name at the mail server; empty: none"`
	SMTPPassword string `env:"ANNAL_SMTP_PASSWORD" secret:"yes" doc:"password at the mail server"`

	Timezone     string        `env:"ANNAL_TIMEZONE" envDefault:"UTC" doc:"IANA zone that decides where a report's day ends"`
	LogLevel     string        `env:"ANNAL_LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	DrainTimeout time.Duration `env:"ANNAL_DRAIN_TIMEOUT" envDefault:"20s" doc:"how long a stopping process may take to finish what it began"`
}

// Parse reads the table from environ, whose entries have the form NAME=value.
//
// Faults: SETTING_UNKNOWN, SETTING_INVALID, SETTING_FILE_UNREADABLE.
func Parse(environ []string) (Config, error) {
	given, err := resolve(env.ToMap(environ))
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: given}); err != nil {
		return Config{}, unreadable(err, given)
	}
	if c.EventStoreDir == "" {
		c.EventStoreDir = c.Home + "/eventstore"
	}
	if c.EventStoreBackups == "" {
		c.EventStoreBackups = c.Home + "/backups"
	}
	return c, c.Validate()
}

// resolve picks our names out of the environment, refuses unknown ones and replaces NAME_FILE by what the file holds. An
// empty value counts as not set, as `NAME= command` in a shell means it.
func resolve(all map[string]string) (map[string]string, error) {
	known := map[string]row{}
	for _, r := range rows(Config{}) {
		known[r.name] = r
	}
	given, strangers := map[string]string{}, []string(nil)
	for _, name := range sortedNames(all) {
		value := all[name]
		if !strings.HasPrefix(name, prefix) || value == "" {
			continue
		}
		if _, ok := known[name]; ok {
			given[name] = value
			continue
		}
		base := strings.TrimSuffix(name, "_FILE")
		if r, ok := known[base]; !ok || base == name || r.secret == "" {
			strangers = append(strangers, name)
			continue
		}
		if all[base] != "" {
			return nil, fault.Newf(fault.Invalid, "SETTING_INVALID", "%s and %s are both set: keep one", base, name)
		}
		text, err := os.ReadFile(value)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "SETTING_FILE_UNREADABLE", name+" names a file that can't be read")
		}
		given[base] = strings.TrimRight(string(text), "\r\n")
	}
	if len(strangers) > 0 {
		return nil, unknown(strangers, known)
	}
	return given, nil
}

func sortedNames(all map[string]string) []string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names) // the first wrong name is told, the same one each time
	return names
}

// Validate checks what a single row can't: forms, and pairs of rows.
func (c Config) Validate() error {
	if c.Mode != Production && c.Mode != Development {
		return invalid("ANNAL_MODE", "is production or development, not %q", c.Mode)
	}
	for name, address := range map[string]string{
		"ANNAL_HTTP_LISTEN": c.HTTPListen, "ANNAL_ADMIN_LISTEN": c.AdminListen, "ANNAL_EVENTSTORE_LISTEN": c.EventStoreListen,
	} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return invalid(name, "is an address like 127.0.0.1:8080, not %q", address)
		}
	}
	if err := c.validateStore(); err != nil {
		return err
	}
	if c.PostgresRoles != "own" && c.PostgresRoles != "none" {
		return invalid("ANNAL_POSTGRES_ROLES", "is own or none, not %q", c.PostgresRoles)
	}
	if _, err := time.LoadLocation(c.Timezone); err != nil {
		return invalid("ANNAL_TIMEZONE", "is an IANA zone like Europe/London, not %q", c.Timezone)
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		return invalid("ANNAL_LOG_LEVEL", "is debug, info, warn or error, not %q", c.LogLevel)
	}
	if c.EventStoreReserve < 0 {
		return invalid("ANNAL_EVENTSTORE_RESERVE_BYTES", "is a number of bytes, not %d", c.EventStoreReserve)
	}
	if c.PostgresMaxConns < 1 {
		return invalid("ANNAL_POSTGRES_MAX_CONNS", "is above zero, not %d", c.PostgresMaxConns)
	}
	if c.DrainTimeout <= 0 {
		return invalid("ANNAL_DRAIN_TIMEOUT", "is above zero, not %v", c.DrainTimeout)
	}
	return nil
}

// validateStore checks the settings of the role eventstore.
func (c Config) validateStore() error {
	if (c.EventStoreTLSCert == "") != (c.EventStoreTLSKey == "") {
		return invalid("ANNAL_EVENTSTORE_TLS_CERT", "and ANNAL_EVENTSTORE_TLS_KEY are set both or not at all")
	}
	if (c.EventStoreTLSCert == "") != (c.EventStoreUsers == "") {
		return invalid("ANNAL_EVENTSTORE_USERS_FILE", "goes with TLS: with a certificate the store has users, and without one nobody sends a password (ANNAL_EVENTSTORE_TLS_CERT and _TLS_KEY)")
	}
	if c.EventStoreMaxAppend < 1 || c.EventStoreMaxAppend > 16<<20 || c.EventStoreMaxConnections < 1 || c.EventStoreMaxCalls < 1 || c.EventStoreAppendMemory < int64(c.EventStoreMaxAppend) {
		return invalid("ANNAL_EVENTSTORE_MAX_APPEND", "is 1 byte to 16 MiB and no more than ANNAL_EVENTSTORE_APPEND_MEMORY; _MAX_CONNECTIONS and _MAX_CALLS are above zero")
	}
	return nil
}

func invalid(name, format string, args ...any) error {
	return fault.New(fault.Invalid, "SETTING_INVALID", name+" "+fmt.Sprintf(format, args...))
}

// StoreURL is where the programs find the event store, the embedded one if no other is named.
func (c Config) StoreURL() string {
	if c.EventStoreURL != "" {
		return c.EventStoreURL
	}
	if c.EventStoreTLSCert != "" {
		return "esdb://" + c.EventStoreListen
	}
	return "esdb://" + c.EventStoreListen + "?tls=false"
}

// StoreReserve is the bytes that the embedded store keeps free, -1 if none.
func (c Config) StoreReserve() int64 {
	if c.EventStoreReserve == 0 {
		return -1
	}
	return c.EventStoreReserve
}

// StoreIsEmbedded reports whether the event store is our own at ANNAL_EVENTSTORE_LISTEN, and not somebody's cluster: then
// the list of roles `all` includes it.
func (c Config) StoreIsEmbedded() bool {
	if c.EventStoreURL == "" {
		return true
	}
	u, err := url.Parse(c.EventStoreURL)
	return err == nil && u.Host == c.EventStoreListen
}

// WithStoreAt returns the settings with the address that the role eventstore got, which port 0 doesn't say.
func (c Config) WithStoreAt(address string) Config {
	if c.StoreIsEmbedded() {
		if u, err := url.Parse(c.EventStoreURL); err == nil && u.Host != "" {
			u.Host = address
			c.EventStoreURL = u.String()
		}
		c.EventStoreListen = address
	}
	return c
}

// Location is the zone of ANNAL_TIMEZONE. REQUIRES: a validated Config.
func (c Config) Location() *time.Location {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}
