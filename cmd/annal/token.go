package main

import (
	"fmt"
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
		if *id == "" {
			return fault.New(fault.Invalid, "FLAG_INVALID", "say whose token it is (--id)")
		}
		if *good <= 0 {
			return fault.New(fault.Invalid, "FLAG_INVALID", "a token is good for more than no time (--for 24h)")
		}
		p := auth.Principal{Kind: auth.Kind(*kind), ID: *id}
		for _, r := range *roles {
			if !auth.Role(r).Known() {
				return fault.Newf(fault.Invalid, "FLAG_INVALID", "%q is no role; --help lists them", r)
			}
			if (p.Kind == auth.Customer) != (auth.Role(r) == auth.RoleCustomer) {
				return fault.New(fault.Invalid, "FLAG_INVALID", "the role customer belongs to the kind customer, and to that alone")
			}
			p.Roles = append(p.Roles, auth.Role(r))
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
			return fault.New(fault.Invalid, "FLAG_INVALID", "--kind is customer, staff or service")
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return fault.Wrap(err, fault.Unavailable, "OUTPUT_CLOSED", "the output was closed")
	}
	c.AddCommand(issue)
	return c
}
