package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annalhq/annal/internal/fault"
)

func roleNames(database string) []string {
	var all []string
	for _, s := range Services() {
		all = append(all, RoleName(database, s))
	}
	return all
}

// A standing is what the server says about one of the roles.
type standing struct {
	Rolname string
	Mighty  bool // an attribute passes by all rights
	Member  bool // it may act as the owner or as another service
	Ours    bool // the owner may act as it
}

// makeRoles makes the roles that are missing and lets the owner's login act as those that have no login of their own.
func (a Access) makeRoles(ctx context.Context, tx pgx.Tx, database string) error {
	found, err := standings(ctx, tx, database)
	if err != nil {
		return err
	}
	create, member := []string{}, []string{}
	for _, s := range Services() {
		name := RoleName(database, s)
		quoted := pgx.Identifier{name}.Sanitize()
		i := slices.IndexFunc(found, func(f standing) bool { return f.Rolname == name })
		if i < 0 {
			create = append(create, "CREATE ROLE "+quoted)
		}
		if i >= 0 && (found[i].Mighty || found[i].Member) {
			return fault.Newf(fault.Denied, "POSTGRES_ROLE_UNFIT",
				"role %s may do more than a service should: it has an attribute like SUPERUSER or CREATEROLE, or is a member of the owner, of another service's role or of one like pg_read_all_data; take that away, or drop it", name)
		}
		if (i < 0 || !found[i].Ours) && a.Own[s] == "" {
			member = append(member, quoted)
		}
	}
	return a.change(ctx, tx, database, create, member)
}

func standings(ctx context.Context, tx pgx.Tx, database string) ([]standing, error) {
	// Since version 16 a member may be one that can only administer a role; SET asks for what we need.
	const sql = `
		SELECT r.rolname, r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls AS mighty,
			EXISTS (SELECT FROM pg_roles o WHERE o.oid <> r.oid AND (o.rolname = ANY($1) OR o.rolname = current_user OR o.rolsuper OR o.rolname LIKE 'pg\_%') AND pg_has_role(r.oid, o.oid, 'MEMBER')) AS member,
			pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS ours
		FROM pg_roles r WHERE r.rolname = ANY($1)`
	rows, err := tx.Query(ctx, sql, roleNames(database))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[standing])
}

// change runs what is to be done, behind a savepoint: a refusal tells an administrator the same statements.
func (a Access) change(ctx context.Context, tx pgx.Tx, database string, create, member []string) error {
	if len(create)+len(member) == 0 {
		return nil
	}
	sql := slices.Clone(create)
	var super bool
	var login string
	if err := tx.QueryRow(ctx, `SELECT rolsuper, rolname FROM pg_roles WHERE rolname = current_user`).Scan(&super, &login); err != nil {
		return err
	}
	if len(member) > 0 && !super { // a superuser may act as anybody
		sql = append(sql, "GRANT "+strings.Join(member, ", ")+" TO "+pgx.Identifier{login}.Sanitize())
	}
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return execAll(ctx, tx, sql) })
	if sqlState(err) != "42501" {
		return err
	}
	return fault.Newf(fault.Denied, "POSTGRES_ROLES_REFUSED", "the login %s may not make the services' roles in the database %s (%s). Let an administrator of the server run\n\n\t%s;\n\n"+
		"and start again; or set ANNAL_POSTGRES_ROLES=none to let every service act as the login of its URL", login, database, messageOf(err), strings.Join(sql, ";\n\t"))
}

func sqlState(err error) string {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func messageOf(err error) string {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Message
	}
	return err.Error()
}
