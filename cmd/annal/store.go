package main

import "github.com/spf13/cobra"

func storeCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "the event store as a whole"}
	c.AddCommand(copyCommand(t))
	return c
}
