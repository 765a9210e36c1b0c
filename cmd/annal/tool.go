package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/vault"
)

// A tool is one run of annal: its settings, and what it opened.
type tool struct {
	environ []string
	closers []func()
	asked   []server // that it turned to
}

// A server is one that was turned to. An event store has its URL here, which may hold a password: show its address.
type server struct {
	what  string // "event store"
	url   string
	store bool
}

func (s server) String() string { return s.what + " at " + address(s.url) }

func (t *tool) ask(s server) {
	if !slices.Contains(t.asked, s) {
		t.asked = append(t.asked, s)
	}
}

// away says of a server's fault which servers were asked, of a copy's which of the two, and, if one doesn't answer, what may help. A store that
// answers what nobody expects is told by the status it gave; what the client library makes of it is not for operators.
func (t *tool) away(ctx context.Context, err error) error {
	f := (*fault.Error)(nil)
	if !errors.As(err, &f) {
		return err
	}
	asked := t.asked
	if of := (*eventstore.StoreFault)(nil); errors.As(err, &of) && len(asked) == 2 {
		asked = asked[:1]
		if of.Target {
			asked = t.asked[1:]
		}
	}
	names := make([]string, 0, len(asked))
	for _, s := range asked {
		names = append(names, s.String())
	}
	told := fmt.Sprintf("%s (asked: %s)", f.Message, strings.Join(names, ", "))
	s, ofStore := status.FromError(err)
	switch {
	case f.Code == "STORE_CREDENTIALS":
		return fault.New(f.Kind, f.Code, told)
	case ofStore && f.Kind == fault.Internal:
		return fault.Newf(f.Kind, f.Code, "%s: status %s (asked: %s); its log says more", f.Message, s.Code(), strings.Join(names, ", "))
	case f.Kind != fault.Unavailable:
		return err
	}
	advice := "is annald running? (make start)"
	for _, s := range asked {
		if s.store && f.Code == "STORE_UNAVAILABLE" {
			advice = cmp.Or(why(ctx, s.url), advice)
		}
	}
	return f.Because("%s; %s", told, advice)
}

// address is the part of a server's URL that may be shown: its hosts.
func address(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	return rest[strings.LastIndex(rest, "@")+1:]
}

// addressed are settings of which one is enough to work without a home.
var addressed = []string{"ANNAL_MODE", "ANNAL_EVENTSTORE_LISTEN", "ANNAL_EVENTSTORE_URL", "ANNAL_EVENTSTORE_URL_FILE", "ANNAL_POSTGRES_URL",
	"ANNAL_POSTGRES_URL_FILE", "ANNAL_POSTGRES_VAULT_URL", "ANNAL_POSTGRES_VAULT_URL_FILE"}

// config reads the settings: the environment first, then what `make run` wrote for this home, which also means that this
// is a developer's machine.
func (t *tool) config() (config.Config, error) {
	environ := slices.Clone(t.environ)
	set := map[string]bool{}
	home := ".annal"
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		set[name] = value != ""
		if name == "ANNAL_HOME" && value != "" {
			home = value
		}
	}
	file, err := os.Open(filepath.Join(home, "servers.env"))
	if errors.Is(err, fs.ErrNotExist) {
		cfg, err := config.Parse(environ)
		if err == nil && !slices.ContainsFunc(addressed, func(name string) bool { return set[name] }) {
			err = fault.Newf(fault.Invalid, "NO_HOME", "no home at %s: run make start, or set ANNAL_HOME, or ANNAL_MODE and the URLs", home)
		}
		return cfg, err
	}
	if err != nil {
		return config.Config{}, fault.Wrap(err, fault.Invalid, "HOME_UNREADABLE", "servers.env of the home can't be read")
	}
	defer func() { _ = file.Close() }() // only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, _, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.HasPrefix(name, "ANNAL_") && !set[name] {
			environ = append(environ, lines.Text())
		}
	}
	if !set["ANNAL_MODE"] {
		environ = append(environ, "ANNAL_MODE=development")
	}
	if err := lines.Err(); err != nil {
		return config.Config{}, fault.Wrap(err, fault.Invalid, "HOME_UNREADABLE", "servers.env of the home can't be read")
	}
	return config.Parse(environ)
}

func (t *tool) close() {
	for _, c := range slices.Backward(t.closers) {
		c()
	}
	t.closers = nil
}

func (t *tool) store(cfg config.Config) (*eventstore.Client, error) {
	return t.storeAt("event store", cfg.StoreURL())
}

func (t *tool) storeAt(what, url string) (*eventstore.Client, error) {
	t.ask(server{what, url, true})
	store, err := eventstore.Open(url, eventstore.Config{Logger: slog.New(slog.DiscardHandler)}) // an outage is waited for, or is the command's fault
	if err == nil {
		t.closers = append(t.closers, func() { _ = store.Close() })
	}
	return store, err
}

// pool acts in the service's role, as annald would. The tool migrates nothing.
func (t *tool) pool(ctx context.Context, cfg config.Config, s postgres.Service, bounds postgres.Config) (*pgxpool.Pool, error) {
	access := cfg.Postgres()
	url := access.Own[s]
	if url == "" {
		url = access.Owner
	}
	if url == "" {
		return nil, fault.New(fault.Invalid, "SETTING_INVALID", "ANNAL_POSTGRES_URL is not set and this home has no servers; `make run` starts some")
	}
	t.ask(server{what: "PostgreSQL", url: url})
	bounds.Application = "annal"
	pool, err := access.Open(ctx, s, bounds)
	if err == nil {
		t.closers = append(t.closers, pool.Close)
	}
	return pool, err
}

func (t *tool) vault(ctx context.Context, cfg config.Config) (*vault.Vault, error) {
	kek, err := cfg.VaultKEK()
	if err != nil {
		return nil, err
	}
	pool, err := t.pool(ctx, cfg, postgres.Vault, postgres.Config{Schema: vault.Schema})
	if err != nil {
		return nil, err
	}
	return vault.New(pool, vault.Config{KEK: kek})
}

// commands returns handlers whose only ports are those of history: the tool moves no money and writes to nobody.
func (t *tool) commands(ctx context.Context, cfg config.Config, store *eventstore.Client) (*commands.Handlers, error) {
	keys, err := t.vault(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return commands.New(store, keys, commands.Ports{
		Payments: map[string]payment.Port{commands.Imported: payment.Imported{}},
		Carriers: map[string]carrier.Port{commands.Imported: carrier.Imported{}},
	}, commands.Config{})
}
