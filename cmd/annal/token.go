package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
)

func tokenCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "bearer tokens for the API"}
	issue := &cobra.Command{
		Use: "issue", Short: "print a bearer token (development mode only)",
		Example: "  annal token issue --kind customer --id c-anna --role customer\n  annal token issue --kind staff --id ada --role admin",
		Args:    exactly(0, "no arguments"),
	}
	kind := issue.Flags().String("kind", "customer", "customer, staff or service")
	id := issue.Flags().String("id", "", "the principal's id; for a customer the customer id")
	roles := issue.Flags().StringSlice("role", nil, "customer, support, warehouse, auditor, admin or service; may be repeated")
	good := issue.Flags().Duration("for", 24*time.Hour, "how long it is good")
	issue.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.config()
		if err != nil {
			return err
		}
		if cfg.Mode != config.Development {
			return fault.New(fault.Denied, "DEVELOPMENT_ONLY", "tokens are issued from the command line in development mode only")
		}
		p, err := principal(*kind, *id, *roles, *good)
		if err != nil {
			return err
		}
		seed, err := cfg.TokenSeed()
		if err != nil {
			return err
		}
		key, err := auth.NewKey(seed)
		if err != nil {
			return err
		}
		token, err := key.Issue(p, time.Now(), *good)
		if err != nil {
			return err
		}
		if _, err := key.Verify(token); err != nil {
			return fault.New(fault.Invalid, "FLAG_INVALID", "the token gets too long to be believed; give a shorter --id")
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return fault.Wrap(err, fault.Unavailable, "OUTPUT_CLOSED", "the output was closed")
	}
	c.AddCommand(issue)
	return c
}

// principal checks what is asked for: a token that says nothing, or too much, helps nobody.
func principal(kind, id string, roles []string, good time.Duration) (auth.Principal, error) {
	refuse := func(format string, args ...any) (auth.Principal, error) {
		return auth.Principal{}, fault.Newf(fault.Invalid, "FLAG_INVALID", format, args...)
	}
	p := auth.Principal{Kind: auth.Kind(kind), ID: id}
	switch {
	case !slices.Contains([]auth.Kind{auth.Customer, auth.Staff, auth.Service}, p.Kind):
		return refuse("--kind is customer, staff or service, not %q", kind)
	case id == "":
		return refuse("say whose token it is (--id)")
	case good <= 0:
		return refuse("--for says how long the token is good, as in 24h or 30m; it was %s", good)
	case len(roles) == 0:
		return refuse("say what the principal may do (--role)")
	}
	for _, name := range roles {
		r := auth.Role(name)
		switch {
		case !r.Known():
			return refuse("%q is no role; a role is customer, support, warehouse, auditor, admin or service", name)
		case r == auth.RoleImporter:
			return refuse("the importer works in a process of its own and has no token")
		case (p.Kind == auth.Customer) != (r == auth.RoleCustomer):
			return refuse("the role customer belongs to the kind customer, and to that alone")
		}
		p.Roles = append(p.Roles, r)
	}
	return p, nil
}
