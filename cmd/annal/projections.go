package main

import (
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/annalhq/annal/internal/postgres"
	"github.com/annalhq/annal/projections"
)

func projectionsCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "projections", Aliases: []string{"projection"}, Short: "the read models"}
	digest := &cobra.Command{
		Use: "digest", Short: "one hash per read model",
		Long: `Hashes the rows of every read model, personal data opened, without positions and the times at which events were appended. Two
shops that went two ways to the same state have equal hashes.`,
		Args: exactly(0, "no arguments"),
	}
	digest.RunE = func(c *cobra.Command, _ []string) error {
		defer t.close()
		cfg, err := t.config()
		if err != nil {
			return err
		}
		all, err := projections.All(projections.Settings{Location: cfg.Location()})
		if err != nil {
			return err
		}
		keys, err := t.vault(c.Context(), cfg)
		if err != nil {
			return t.away(c.Context(), err)
		}
		// The tables themselves, not the views: only the projector may read those.
		pool, err := t.pool(c.Context(), cfg, postgres.Projector, postgres.Config{ReadOnly: true})
		if err != nil {
			return t.away(c.Context(), err)
		}
		digests, err := projections.Digest(c.Context(), pool, all, keys)
		if err != nil {
			return t.away(c.Context(), err)
		}
		return printDigests(c, digests)
	}
	c.AddCommand(digest)
	return c
}

func printDigests(c *cobra.Command, digests []projections.ProjectionDigest) error {
	type shown struct {
		Digest     string `json:"digest"`
		Parked     int64  `json:"parked"`
		Projection string `json:"projection"`
		Rows       int64  `json:"rows"`
	}
	t := newTable()
	t.AppendHeader(table.Row{"projection", "rows", "parked", "digest"})
	lines := make([]shown, 0, len(digests))
	for _, d := range digests {
		t.AppendRow(table.Row{d.Name, d.Rows, d.Parked, d.Hash})
		lines = append(lines, shown{d.Hash, d.Parked, d.Name, d.Rows})
	}
	return printTable(c.OutOrStdout(), t, lines)
}
