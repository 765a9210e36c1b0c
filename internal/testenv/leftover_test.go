package testenv

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestLeftoversAreSweptAndNothingElse(t *testing.T) {
	old := strconv.FormatInt(time.Now().Add(-3*time.Hour).Unix(), 36) + "_x" + strconv.FormatInt(time.Now().UnixNano(), 36)
	dead := []string{testPrefix + old, halfPrefix + old, templatePrefix + "name_hash_" + old}
	alive := []string{freshName(testPrefix), "annal_other_" + old}
	admin(t, func(ctx context.Context, conn *pgx.Conn) error {
		for _, name := range append(dead, alive...) {
			if err := createDatabase(ctx, conn, name, "template0"); err != nil {
				return err
			}
		}
		orphan := testPrefix + old + "0_relay"
		if _, err := conn.Exec(ctx, "CREATE ROLE "+orphan); err != nil { // its database is gone
			return err
		}
		sweep(ctx, t, conn)
		var left bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, orphan).Scan(&left); err != nil || left {
			t.Errorf("the role %s is still there: %v", orphan, err)
		}
		for _, name := range dead {
			if there(ctx, t, conn, name) {
				t.Errorf("the leftover %s is still there", name)
			}
		}
		var errs []error
		for _, name := range alive {
			if !there(ctx, t, conn, name) {
				t.Errorf("%s was swept", name)
			}
			errs = append(errs, dropDatabase(ctx, conn, name))
		}
		return errors.Join(errs...)
	})
}

func there(ctx context.Context, t *testing.T, conn *pgx.Conn, name string) (found bool) {
	t.Helper()
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}
