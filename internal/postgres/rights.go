package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/fault"
)

// A Schema is a part of the database that one owner's files make and services use.
type Schema struct {
	Name   string
	Files  fs.FS // its migrations, goose files at the root; nil if it is made in another way
	Rights Rights
}

// Rights say who may do what: object -> service -> privileges as SQL names them, with blanks between. An object is a table or a
// view, or a function if its name ends in (). Who has a right to an object may also use the schema, and see which version it has.
// What is not named here is left as it is; in a fresh schema that is: the owner's alone. What is gone from a schema without files, such
// as a read model that somebody dropped, is passed over: who needs it says so, and the others start.
type Rights map[string]map[Service]string

// A right is one privilege of one grantee on one object, as it is or as it should be.
type right struct {
	schema, object string // object is "" for the schema itself, "name()" for a function
	grantee        string // a role; "" is PUBLIC
	privilege      string
}

// An object is how GRANT names it; rights of a schema hang on it.
type object struct{ schema, name string }

// Grant makes the services' roles and gives them exactly the rights of the schemas, which exist by now. It changes only what
// differs, in one transaction; any number of processes may grant at once. A schema that a newer build has migrated already is
// that build's to grant on, so that an older process that starts late takes nothing away.
//
// Faults: POSTGRES_ROLES_REFUSED if the owner may not make roles (its message holds what an administrator must run),
// POSTGRES_ROLE_UNFIT, RIGHTS_REFUSED, RIGHTS_WRONG if the rights name what is not there, POSTGRES_UNAVAILABLE.
func (a Access) Grant(ctx context.Context, schemas ...Schema) error {
	if a.OneLogin {
		return nil
	}
	pc, err := poolConfig(a.Owner, Config{Application: "annal-grant", MaxConns: 1}.withDefaults())
	if err != nil {
		return err
	}
	pc.ConnConfig.Tracer = nil // a start-up's own queries are nobody's trace
	conn, err := pgx.ConnectConfig(ctx, pc.ConnConfig)
	if err != nil {
		return unavailable(err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Of two that grant at once the second finds nothing to do; unlocked, the server would refuse one of them.
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '0', true), pg_advisory_xact_lock(hashtextextended('annal grant', 0))`); err != nil {
			return err
		}
		if err := a.makeRoles(ctx, tx, databaseOf(pc.ConnConfig)); err != nil {
			return err
		}
		return grant(ctx, tx, databaseOf(pc.ConnConfig), schemas)
	})
	if cerr := conn.Close(ctx); err == nil {
		err = cerr
	}
	return unavailable(err)
}

func grant(ctx context.Context, tx pgx.Tx, database string, schemas []Schema) error {
	schemas, err := ours(ctx, tx, schemas)
	if err != nil {
		return err
	}
	have, quoted, err := present(ctx, tx, schemas)
	if err != nil {
		return err
	}
	wanted, managed, err := wantedRights(database, schemas, quoted)
	if err != nil {
		return err
	}
	var sql []string
	for r := range have {
		if !wanted[r] && managed[object{r.schema, r.object}] && ourGrantee(database, r.grantee) {
			sql = append(sql, "REVOKE "+r.privilege+" ON "+quoted[object{r.schema, r.object}]+" FROM "+r.to())
		}
	}
	for r := range wanted {
		if !have[r] {
			sql = append(sql, "GRANT "+r.privilege+" ON "+quoted[object{r.schema, r.object}]+" TO "+r.to())
		}
	}
	slices.Sort(sql) // grants before revokes, and the same order each time
	return rightsFault(execAll(ctx, tx, sql))
}

// ours leaves out the schemas that a newer build has migrated.
func ours(ctx context.Context, tx pgx.Tx, schemas []Schema) ([]Schema, error) {
	var kept []Schema
	for _, s := range schemas {
		if s.Files == nil {
			kept = append(kept, s)
			continue
		}
		known, err := newest(s.Files)
		if err != nil {
			return nil, err
		}
		var have int64
		err = tx.QueryRow(ctx, `SELECT max(version_id) FROM `+pgx.Identifier{s.Name, versionTable}.Sanitize()).Scan(&have)
		if err != nil {
			return nil, err
		}
		if have <= known {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// present reads the rights as they are. Every object of the schemas is in quoted, with its name as GRANT wants it.
func present(ctx context.Context, tx pgx.Tx, schemas []Schema) (map[right]bool, map[object]string, error) {
	const sql = `
		WITH objects AS (
			SELECT oid AS schema, '' AS name, 'SCHEMA ' || quote_ident(nspname) AS quoted, coalesce(nspacl, acldefault('n', nspowner)) AS acl FROM pg_namespace
			UNION ALL
			SELECT relnamespace, relname, 'TABLE ' || relnamespace::regnamespace || '.' || quote_ident(relname), coalesce(relacl, acldefault('r', relowner))
			FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')
			UNION ALL
			SELECT pronamespace, proname || '()', 'FUNCTION ' || oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc)
		SELECT n.nspname, o.name, o.quoted, coalesce(r.rolname, ''), a.privilege_type
		FROM pg_namespace n JOIN objects o ON o.schema = n.oid, aclexplode(o.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
		WHERE n.nspname = ANY($1)`
	rows, err := tx.Query(ctx, sql, names(schemas))
	if err != nil {
		return nil, nil, err
	}
	have, quoted := map[right]bool{}, map[object]string{}
	var r right
	var name string
	_, err = pgx.ForEachRow(rows, []any{&r.schema, &r.object, &name, &r.grantee, &r.privilege}, func() error {
		have[r], quoted[object{r.schema, r.object}] = true, name
		return nil
	})
	return have, quoted, err
}

// wantedRights spells the schemas' rights out, and says which objects they decide.
func wantedRights(database string, schemas []Schema, quoted map[object]string) (wanted map[right]bool, managed map[object]bool, err error) {
	wanted, managed = map[right]bool{}, map[object]bool{}
	for _, s := range schemas {
		users := map[Service]bool{}
		for name, services := range s.Rights {
			gone := quoted[object{s.Name, name}] == ""
			if gone && s.Files == nil {
				continue
			}
			if gone {
				return nil, nil, fault.Newf(fault.Internal, "RIGHTS_WRONG", "the rights of schema %s name %s, which is not there", s.Name, name)
			}
			managed[object{s.Name, name}] = true
			for service, privileges := range services {
				users[service] = true
				for _, p := range strings.Fields(privileges) {
					wanted[right{s.Name, name, RoleName(database, service), p}] = true
				}
			}
		}
		managed[object{s.Name, ""}] = true
		for service := range users {
			wanted[right{s.Name, "", RoleName(database, service), "USAGE"}] = true
			if s.Files != nil {
				managed[object{s.Name, versionTable}] = true
				wanted[right{s.Name, versionTable, RoleName(database, service), "SELECT"}] = true
			}
		}
	}
	return wanted, managed, nil
}

// ourGrantee: what an administrator gave to logins of their own (a backup, a report) is theirs.
func ourGrantee(database, grantee string) bool {
	return grantee == "" || slices.Contains(roleNames(database), grantee)
}

func (r right) to() string {
	if r.grantee == "" {
		return "PUBLIC"
	}
	return pgx.Identifier{r.grantee}.Sanitize()
}

func names(schemas []Schema) []string {
	set := map[string]bool{}
	for _, s := range schemas {
		set[s.Name] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// execAll runs statements without parameters in one round trip.
func execAll(ctx context.Context, tx pgx.Tx, sql []string) error {
	if len(sql) == 0 {
		return nil
	}
	_, err := tx.Conn().PgConn().Exec(ctx, strings.Join(sql, ";\n")).ReadAll()
	return err
}

func rightsFault(err error) error {
	if sqlState(err) != "42501" {
		return err
	}
	return fault.Wrap(err, fault.Denied, "RIGHTS_REFUSED",
		fmt.Sprintf("the login of ANNAL_POSTGRES_URL does not own what it should give rights on (%v); use the login that made the schemas", err))
}
