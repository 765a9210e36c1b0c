package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
)

// What each service may do with each table: s(elect), i(nsert), u(pdate), d(elete). It is said a second time here on purpose.
var mayDo = map[string]map[postgres.Service]string{
	"relay.schema_version":       {postgres.Relay: "s"},
	"relay.checkpoint":           {postgres.Relay: "siu"},
	"sagas.schema_version":       {postgres.Sagas: "s"},
	"sagas.checkpoint":           {postgres.Sagas: "siu"},
	"sagas.saga":                 {postgres.Sagas: "siu"},
	"vault.schema_version":       {postgres.Vault: "s"},
	"vault.keys":                 {postgres.Vault: "siu"},
	"vault.installation":         {postgres.Vault: "si"},
	"vault.blind_index":          {postgres.Vault: "siud"},
	"projections.schema_version": {postgres.Projector: "s", postgres.Queries: "s"},
	"projections.checkpoints":    {postgres.Projector: "su", postgres.Queries: "s"},
	"projections.parked":         {postgres.Projector: "siud"},
}

// mayDoOf adds what holds of every read model.
func mayDoOf(schema, table string) map[postgres.Service]string {
	switch {
	case schema == "read":
		return map[postgres.Service]string{postgres.Queries: "s"}
	case strings.HasPrefix(schema, table+"_v"):
		return map[postgres.Service]string{postgres.Projector: "siu"}
	}
	return mayDo[schema+"."+table]
}

// Every service, every table of the database as it is, every verb: a table without a line above fails.
func TestAServiceMayUseItsOwnSchemaAndNoOther(t *testing.T) {
	cfg := settings(t)
	if err := migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	tables := tablesOf(t, cfg.PostgresURL)
	pools := map[postgres.Service]*pgxpool.Pool{}
	for _, s := range postgres.Services() {
		pool, err := cfg.Postgres().Open(t.Context(), s, postgres.Config{MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		pools[s] = pool
	}
	asked := 0
	for _, table := range tables {
		may := mayDoOf(table.Schema, table.Name)
		if may == nil {
			t.Errorf("%s.%s: nobody said who may use it", table.Schema, table.Name)
		}
		name := pgx.Identifier{table.Schema, table.Name}.Sanitize()
		for service, pool := range pools {
			got := ""
			for _, verb := range [][2]string{ // EXPLAIN asks for the rights and does nothing
				{"s", "EXPLAIN SELECT * FROM " + name},
				{"i", "EXPLAIN INSERT INTO " + name + " DEFAULT VALUES"},
				{"u", "EXPLAIN UPDATE " + name + " SET " + pgx.Identifier{table.Column}.Sanitize() + " = NULL"},
				{"d", "EXPLAIN DELETE FROM " + name},
			} {
				asked++
				if allowed(t, pool, verb[1]) {
					got += verb[0]
				}
			}
			if got != may[service] {
				t.Errorf("%s may do %q with %s, want %q", service, got, name, may[service])
			}
			for _, ddl := range []string{"CREATE TABLE " + pgx.Identifier{table.Schema, "mine"}.Sanitize() + " ()", "DROP TABLE " + name, "TRUNCATE " + name, "ALTER TABLE " + name + " ADD mine int"} {
				asked++
				if strings.HasPrefix(table.Schema, "read") && !strings.HasPrefix(ddl, "CREATE") {
					continue // views
				}
				if allowed(t, pool, ddl) {
					t.Errorf("%s may %s", service, ddl)
				}
			}
		}
	}
	for service, pool := range pools {
		for _, ddl := range []string{"CREATE SCHEMA mine", "CREATE TABLE public.mine ()", "CREATE ROLE mine", "DROP SCHEMA relay CASCADE", "SELECT * FROM pg_authid"} {
			if allowed(t, pool, ddl) {
				t.Errorf("%s may %s", service, ddl)
			}
		}
	}
	if len(tables) < 30 || asked < 1000 {
		t.Errorf("only %d tables and %d questions", len(tables), asked)
	}
}

// allowed reports what the server says, and undoes it.
func allowed(t *testing.T, pool *pgxpool.Pool, sql string) bool {
	t.Helper()
	errUndo := errors.New("undo")
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			return err
		}
		return errUndo
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return false
	}
	if !errors.Is(err, errUndo) {
		t.Errorf("%s: %v", sql, err)
	}
	return true
}

type tableName struct{ Schema, Name, Column string }

func tablesOf(t *testing.T, url string) []tableName {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.Config{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	rows, err := pool.Query(t.Context(), `SELECT n.nspname AS schema, c.relname AS name, a.attname AS column
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1
		WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[tableName])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A house of four processes, none of which has the owner's login, sells a mug.
func TestEachRoleWorksWithLoginsOfItsServicesAlone(t *testing.T) {
	all := settings(t, "ANNAL_EVENTSTORE_URL="+servertest.Start(t))
	own := ownLogins(t, all)
	if err := migrate(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	with := func(give func(*config.Config)) config.Config {
		cfg := all
		cfg.PostgresURL = ""
		give(&cfg)
		return cfg
	}
	launch(t, with(func(c *config.Config) { c.PostgresRelayURL = own.PostgresRelayURL }), "relay")
	launch(t, with(func(c *config.Config) { c.PostgresProjectorURL = own.PostgresProjectorURL }), "projector")
	launch(t, with(func(c *config.Config) {
		c.PostgresVaultURL, c.PostgresSagasURL = own.PostgresVaultURL, own.PostgresSagasURL
	}), "worker")
	api := launch(t, with(func(c *config.Config) {
		c.PostgresVaultURL, c.PostgresQueriesURL = own.PostgresVaultURL, own.PostgresQueriesURL
	}), "api")
	sell(t, api)

	_, err := New(t.Context(), with(func(c *config.Config) { c.PostgresRelayURL = own.PostgresRelayURL }), "projector", t.Output())
	if fault.CodeOf(err) != "SETTING_INVALID" || !strings.Contains(err.Error(), "ANNAL_POSTGRES_PROJECTOR_URL") {
		t.Errorf("a projector without its URL: %v", err)
	}
	for _, name := range sessions(t, all.PostgresURL) {
		if !strings.HasPrefix(name, databaseOf(t, all.PostgresURL)+"_") {
			t.Errorf("a process is logged in as %s", name)
		}
	}
}

// ownLogins gives each service a URL whose user is its role.
func ownLogins(t *testing.T, cfg config.Config) config.Config {
	t.Helper()
	for s, setting := range map[postgres.Service]*string{
		postgres.Relay: &cfg.PostgresRelayURL, postgres.Sagas: &cfg.PostgresSagasURL, postgres.Vault: &cfg.PostgresVaultURL,
		postgres.Projector: &cfg.PostgresProjectorURL, postgres.Queries: &cfg.PostgresQueriesURL,
	} {
		u, err := url.Parse(cfg.PostgresURL)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(postgres.RoleName(databaseOf(t, cfg.PostgresURL), s), "secret of "+string(s))
		*setting = u.String()
	}
	return cfg
}

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// sessions are the logins of everybody else in the database.
func sessions(t *testing.T, url string) []string {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.Config{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	rows, err := pool.Query(t.Context(), `SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

// A database that an older build filled with its one login is taken over by the first start: nothing is lost, and each service acts in
// its role. (One login without roles is what the older build did, to the byte.)
func TestADatabaseOfOneLoginGetsRoles(t *testing.T) {
	cfg := settings(t, "ANNAL_EVENTSTORE_URL="+servertest.Start(t))
	older := cfg
	older.PostgresRoles = "none"
	ctx, stop := context.WithCancel(t.Context())
	d, err := New(ctx, older, "relay,projector,worker,api", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	order := sell(t, d)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	now := launch(t, cfg, "relay,projector,worker,api")
	buyer := as(t, now, bea)
	if text := buyer.ask("", `{ order(id: "`+order+`") { status address { city } } }`); !strings.Contains(text, "SHIPPED") || !strings.Contains(text, "Leeds") {
		t.Errorf("the order is not what it was: %s", text)
	}
	sell(t, now)
}

var bea = auth.Principal{Kind: auth.Customer, ID: "c-bea", Roles: []auth.Role{auth.RoleCustomer}}

// sell has somebody buy a mug, waits until it is shipped, and returns the order.
func sell(t *testing.T, d *Daemon) string {
	t.Helper()
	admin := as(t, d, auth.Principal{Kind: auth.Staff, ID: "ada", Roles: []auth.Role{auth.RoleAdmin}})
	if !strings.Contains(admin.ask("", `{ product(sku: "MUG") { sku } }`), "MUG") {
		admin.ask("", `mutation { createProduct(input: {sku: "MUG", name: "Mug", price: {amount: "7.50", currencyCode: "GBP"}}) { sku userErrors { code } } }`)
		as(t, d, bea).ask("", `mutation { registerCustomer(input: {name: "Bea", email: "bea@example.com"}) { customerId userErrors { code } } }`)
	}
	admin.ask("", `mutation { receiveStock(input: {sku: "MUG", quantity: 5}) { sku userErrors { code } } }`)
	return buy(t, as(t, d, bea), "")
}

// launch runs a daemon until the test ends. A right that a service lacks may only be told by its log, since it tries again.
func launch(t *testing.T, cfg config.Config, roles string) *Daemon {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	logs := &transcript{}
	d, err := New(ctx, cfg, roles, logs)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if text := logs.String(); strings.Contains(text, "permission denied") {
			t.Errorf("%s lacks a right:\n%s", roles, text)
		}
	})
	return d
}

// transcript is a log that many may write to.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// buy orders a mug, waits until it is shipped, and returns the order.
func buy(t *testing.T, buyer client, traceparent string) string {
	t.Helper()
	placed := buyer.ask(traceparent, `mutation { placeOrder(input: {lines: [{sku: "MUG", quantity: 1}], currency: "GBP", paymentToken: "tok_ok",
		address: {lines: ["1 High Street"], city: "Leeds", country: "GB"}}) { orderId receipt { position } userErrors { code } } }`)
	_, rest, _ := strings.Cut(placed, `"orderId":"`)
	order, _, _ := strings.Cut(rest, `"`)
	settled := time.Now().Add(20 * time.Second)
	for !strings.Contains(buyer.ask("", `{ order(id: "`+order+`") { status } }`), "SHIPPED") {
		if time.Now().After(settled) {
			t.Fatal("the order does not get shipped")
		}
	}
	return order
}
