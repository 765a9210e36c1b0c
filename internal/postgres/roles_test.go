package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/internal/testenv"
)

// relays is a schema of the relay's with one table; the vault may read it.
func relays(bodies ...string) postgres.Schema {
	if len(bodies) == 0 {
		bodies = []string{`CREATE TABLE rows (id int); CREATE TABLE hidden (id int); CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';`}
	}
	return postgres.Schema{Name: "relay", Files: files(bodies...), Rights: postgres.Rights{
		"rows":  {postgres.Relay: "SELECT INSERT", postgres.Vault: "SELECT"},
		"one()": {postgres.Relay: "EXECUTE"},
	}}
}

func open(t *testing.T, a postgres.Access, s postgres.Service, cfg postgres.Config) *pgxpool.Pool {
	t.Helper()
	cfg.MaxConns = 2
	pool, err := a.Open(t.Context(), s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func owner(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, postgres.Config{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func exec(t *testing.T, pool *pgxpool.Pool, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if _, err := pool.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// state is the SQLSTATE of what the server says to sql, 00000 for yes.
func state(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	if err == nil {
		return "00000"
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		t.Fatalf("%s: %v", sql, err)
	}
	return pg.Code
}

const denied = "42501"

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// login is address with another user and password.
func login(t *testing.T, address, user, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestARoleIsTheDatabasesOwn(t *testing.T) {
	long := strings.Repeat("d", 62)
	seen := map[string]bool{}
	for _, database := range []string{"annal", "annal_relay", long + "a", long + "b", strings.Repeat("ü", 31)} {
		for _, s := range postgres.Services() {
			name := postgres.RoleName(database, s)
			if len(name) > 63 || seen[name] || !strings.HasSuffix(name, "_"+string(s)) {
				t.Errorf("%s of %s: %q", s, database, name)
			}
			seen[name] = true
		}
	}
}

func TestAServiceMayDoWhatItsRightsSayAndNothingElse(t *testing.T) {
	a := postgres.Access{Owner: testenv.Postgres(t)}
	if _, err := a.Open(t.Context(), postgres.Relay, postgres.Config{}); fault.CodeOf(err) != "POSTGRES_ROLE_MISSING" {
		t.Fatalf("before anybody migrated: %v", err)
	}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	relay, vault, sagas := open(t, a, postgres.Relay, postgres.Config{}), open(t, a, postgres.Vault, postgres.Config{}), open(t, a, postgres.Sagas, postgres.Config{})
	check := func() {
		t.Helper()
		for _, c := range []struct {
			who       *pgxpool.Pool
			sql, want string
		}{
			{relay, `INSERT INTO relay.rows VALUES (1)`, "00000"}, {relay, `SELECT id FROM relay.rows`, "00000"}, {relay, `SELECT relay.one()`, "00000"},
			{relay, `DELETE FROM relay.rows`, denied}, {relay, `SELECT id FROM relay.hidden`, denied}, {relay, `CREATE TABLE relay.mine ()`, denied},
			{relay, `SELECT version_id FROM relay.schema_version`, "00000"}, {relay, `DELETE FROM relay.schema_version`, denied},
			{vault, `SELECT id FROM relay.rows`, "00000"}, {vault, `INSERT INTO relay.rows VALUES (1)`, denied}, {vault, `SELECT relay.one()`, denied},
			{sagas, `SELECT id FROM relay.rows`, denied}, {sagas, `CREATE SCHEMA mine`, denied},
		} {
			if got := state(t, c.who, c.sql); got != c.want {
				t.Errorf("%s: SQLSTATE %s, want %s", c.sql, got, c.want)
			}
		}
	}
	check()

	// What somebody changed by hand is right after the next start; what concerns logins of their own stays.
	db := databaseOf(t, a.Owner)
	role := func(s postgres.Service) string { return postgres.RoleName(db, s) }
	exec(t, owner(t, a.Owner), `CREATE ROLE `+db+`_report`, `GRANT USAGE ON SCHEMA relay TO `+db+`_report`,
		`GRANT ALL ON relay.rows TO `+role(postgres.Sagas)+`, PUBLIC`, `GRANT ALL ON SCHEMA relay TO PUBLIC`, `REVOKE ALL ON relay.rows FROM `+role(postgres.Relay))
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	check()
	var kept bool
	if err := owner(t, a.Owner).QueryRow(t.Context(), `SELECT has_schema_privilege($1, 'relay', 'USAGE')`, db+"_report").Scan(&kept); err != nil || !kept {
		t.Errorf("the report's right is gone: %v", err)
	}
}

func TestAPoolStaysInItsRole(t *testing.T) {
	a := postgres.Access{Owner: testenv.Postgres(t)}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	pool := open(t, a, postgres.Sagas, postgres.Config{})
	for _, reset := range []string{`RESET ROLE`, `RESET ALL`, `DISCARD ALL`} {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Conn().PgConn().Exec(t.Context(), reset).ReadAll()
		var who string
		if err = errors.Join(err, conn.Conn().PgConn().Exec(t.Context(), `SELECT 1`).Close(), conn.QueryRow(t.Context(), `SELECT current_user`).Scan(&who)); err != nil ||
			who != postgres.RoleName(databaseOf(t, a.Owner), postgres.Sagas) {
			t.Errorf("after %s it acts as %s: %v", reset, who, err)
		}
		_ = conn.Hijack().Close(t.Context()) // its prepared statements are gone
	}
}

func TestEveryServiceHasItsBounds(t *testing.T) {
	a := postgres.Access{Owner: testenv.Postgres(t)}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[postgres.Service]string{
		postgres.Relay: "30s 10s 30s", postgres.Sagas: "30s 10s 30s", postgres.Vault: "15s 5s 15s", postgres.Projector: "1min 10s 1min", postgres.Queries: "15s 5s 15s",
	} {
		var got string
		sql := `SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'))`
		if err := open(t, a, s, postgres.Config{}).QueryRow(t.Context(), sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", s, got, want, err)
		}
	}

	// The server keeps them.
	holder, err := owner(t, a.Owner).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `LOCK TABLE relay.rows`); err != nil {
		t.Fatal(err)
	}
	if got := state(t, open(t, a, postgres.Relay, postgres.Config{LockTimeout: 20 * time.Millisecond}), `SELECT id FROM relay.rows`); got != "55P03" {
		t.Errorf("a wait for a lock: SQLSTATE %s", got)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	forgotten, err := open(t, a, postgres.Relay, postgres.Config{IdleInTransaction: 20 * time.Millisecond}).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forgotten.Conn().WaitForNotification(t.Context()); err == nil { // it ends when the server hangs up
		t.Error("a forgotten transaction is kept")
	}
	_ = forgotten.Rollback(context.Background())
	if got := state(t, open(t, a, postgres.Relay, postgres.Config{ReadOnly: true}), `INSERT INTO relay.rows VALUES (1)`); got != "25006" {
		t.Errorf("a write of a pool that only reads: SQLSTATE %s", got)
	}
}

func TestTwoDatabasesOfOneServerShareNoRights(t *testing.T) {
	all := []postgres.Access{{Owner: testenv.Postgres(t)}, {Owner: testenv.Postgres(t)}}
	var wg sync.WaitGroup
	errs := make(chan error, 12)
	for range 6 { // and many processes start at once
		for _, a := range all {
			wg.Go(func() { errs <- a.Ready(context.Background(), postgres.Relay, relays()) })
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	foreign := owner(t, all[1].Owner)
	exec(t, foreign, `SET ROLE `+postgres.RoleName(databaseOf(t, all[0].Owner), postgres.Relay))
	for _, conn := range foreign.AcquireAllIdle(t.Context()) {
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), `SELECT id FROM relay.rows`); err == nil {
			t.Error("the role of one database reads the other")
		}
	}
}

func TestALoginOfItsOwnNeedsNoOwner(t *testing.T) {
	home := testenv.Postgres(t)
	db := databaseOf(t, home)
	own := login(t, home, postgres.RoleName(db, postgres.Relay), "it's $ecret/%")
	with := postgres.Access{Owner: home, Own: map[postgres.Service]string{postgres.Relay: own}}
	without := postgres.Access{Own: with.Own}

	if err := without.Ready(t.Context(), postgres.Relay, relays()); fault.CodeOf(err) != "POSTGRES_LOGIN_REFUSED" {
		t.Fatalf("before the owner: %v", err)
	}
	if err := errors.Join(with.Ready(t.Context(), postgres.Relay, relays()), with.Logins(t.Context()), with.Logins(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := without.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	relay := open(t, without, postgres.Relay, postgres.Config{})
	for sql, want := range map[string]string{
		`INSERT INTO relay.rows VALUES (1)`: "00000", `DELETE FROM relay.rows`: denied, `SET ROLE NONE`: "00000",
		`SET ROLE ` + postgres.RoleName(db, postgres.Vault): denied, `SET SESSION AUTHORIZATION ` + postgres.RoleName(db, postgres.Vault): denied,
	} {
		if got := state(t, relay, sql); got != want {
			t.Errorf("%s: SQLSTATE %s, want %s", sql, got, want)
		}
	}
	if err := without.Ready(t.Context(), postgres.Relay, relays(`CREATE TABLE rows (id int);`, `CREATE TABLE more (id int);`)); fault.CodeOf(err) != "SCHEMA_BEHIND" {
		t.Errorf("a newer build without the owner: %v", err)
	}
	if _, err := without.Open(t.Context(), postgres.Sagas, postgres.Config{}); fault.CodeOf(err) != "SETTING_INVALID" || !strings.Contains(err.Error(), "ANNAL_POSTGRES_SAGAS_URL") {
		t.Errorf("no URL: %v", err)
	}
	for user, want := range map[string]string{postgres.RoleName(db, postgres.Vault): "POSTGRES_LOGIN_REFUSED", postgres.RoleName(db, postgres.Relay): "POSTGRES_ROLE_REFUSED"} {
		other := postgres.Access{Owner: home, Own: map[postgres.Service]string{postgres.Sagas: login(t, home, user, "it's $ecret/%")}}
		if err := other.Logins(t.Context()); fault.CodeOf(err) != want || strings.Contains(err.Error(), "ecret") {
			t.Errorf("sagas as %s: %v", user, err)
		}
	}
}

func TestALoginThatMayNotMakeRolesSaysWhatAnAdministratorMustRun(t *testing.T) {
	home := testenv.Postgres(t)
	admin, db := owner(t, home), databaseOf(t, home)
	plain := db + "_plain"
	exec(t, admin, `CREATE ROLE `+plain+` LOGIN PASSWORD 'p'`, `GRANT CREATE ON DATABASE `+db+` TO `+plain)
	a := postgres.Access{Owner: login(t, home, plain, "p")}
	err := a.Ready(t.Context(), postgres.Relay, relays())
	if fault.CodeOf(err) != "POSTGRES_ROLES_REFUSED" || fault.KindOf(err) != fault.Denied {
		t.Fatalf("got %v", err)
	}
	// No roles at all is the other way out.
	if err := (postgres.Access{Owner: a.Owner, OneLogin: true}).Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(fault.MessageOf(err), "\n\n")
	if len(parts) != 3 {
		t.Fatalf("no statements stand apart: %q", parts)
	}
	for sql := range strings.SplitSeq(strings.TrimSpace(parts[1]), ";\n") {
		exec(t, admin, strings.TrimSuffix(sql, ";"))
	}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatalf("after the administrator ran what was told: %v", err)
	}
	if got := state(t, open(t, a, postgres.Sagas, postgres.Config{}), `SELECT id FROM relay.rows`); got != denied {
		t.Errorf("SQLSTATE %s", got)
	}

	// An owner that may make roles needs nobody.
	home = testenv.Postgres(t)
	admin, db = owner(t, home), databaseOf(t, home)
	exec(t, admin, `CREATE ROLE `+db+`_maker LOGIN CREATEROLE PASSWORD 'p'`, `GRANT CREATE ON DATABASE `+db+` TO `+db+`_maker`)
	a = postgres.Access{Owner: login(t, home, db+"_maker", "p")}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	if got := state(t, open(t, a, postgres.Relay, postgres.Config{}), `INSERT INTO relay.rows VALUES (1)`); got != "00000" {
		t.Errorf("SQLSTATE %s", got)
	}
}

func TestARoleThatMayTooMuchIsRefused(t *testing.T) {
	a := postgres.Access{Owner: testenv.Postgres(t)}
	if err := a.Ready(t.Context(), postgres.Relay, relays()); err != nil {
		t.Fatal(err)
	}
	db := databaseOf(t, a.Owner)
	relay, vault := postgres.RoleName(db, postgres.Relay), postgres.RoleName(db, postgres.Vault)
	for bad, mend := range map[string]string{
		`ALTER ROLE ` + relay + ` CREATEROLE`: `ALTER ROLE ` + relay + ` NOCREATEROLE`,
		`GRANT ` + vault + ` TO ` + relay:     `REVOKE ` + vault + ` FROM ` + relay,
		`GRANT pg_read_all_data TO ` + relay:  `REVOKE pg_read_all_data FROM ` + relay,
	} {
		exec(t, owner(t, a.Owner), bad)
		if err := a.Grant(t.Context(), relays()); fault.CodeOf(err) != "POSTGRES_ROLE_UNFIT" {
			t.Errorf("%s: %v", bad, err)
		}
		exec(t, owner(t, a.Owner), mend)
	}
	if err := a.Grant(t.Context(), relays()); err != nil {
		t.Error(err)
	}
}

func TestAnOlderBuildTakesNothingFromANewerOne(t *testing.T) {
	a := postgres.Access{Owner: testenv.Postgres(t)}
	older := relays()
	newer := relays(`CREATE TABLE rows (id int); CREATE TABLE hidden (id int); CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';`, `CREATE TABLE more (id int);`)
	newer.Rights = postgres.Rights{"rows": {postgres.Relay: "SELECT INSERT DELETE"}, "more": {postgres.Relay: "SELECT"}}
	for _, s := range []postgres.Schema{older, newer, older} {
		if err := a.Ready(t.Context(), postgres.Relay, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := state(t, open(t, a, postgres.Relay, postgres.Config{}), `DELETE FROM relay.rows`); got != "00000" {
		t.Errorf("SQLSTATE %s", got)
	}
	wrong := postgres.Schema{Name: "relay", Files: newer.Files, Rights: postgres.Rights{"rowz": {postgres.Relay: "SELECT"}}}
	if err := a.Grant(t.Context(), wrong); fault.CodeOf(err) != "RIGHTS_WRONG" {
		t.Errorf("a misspelt table: %v", err)
	}
	// A read model that somebody dropped, table or schema, hinders nobody else.
	exec(t, owner(t, a.Owner), `CREATE SCHEMA stock_v1`)
	var dropped []postgres.Schema
	for _, name := range []string{"stock_v1", "sales_v1"} {
		dropped = append(dropped, postgres.Schema{Name: name, Rights: postgres.Rights{"gone": {postgres.Projector: "SELECT"}}})
	}
	if err := a.Grant(t.Context(), dropped...); err != nil {
		t.Errorf("a dropped table: %v", err)
	}
}
