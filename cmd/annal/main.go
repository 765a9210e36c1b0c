// Command annal is the operator's tool: noun, then verb.
//
//	annal import online-retail FILE     import the sales of an online retailer through the shop's commands
//	annal import report                 what the imports of this home did not take, and why
//	annal projections digest            one hash per read model, to compare two ways to the same state
//	annal token issue                   a bearer token for the API, for a developer's machine
//	annal streams read STREAM           the events of a stream
//
// It reads the same settings as annald (ANNAL_...), and on a developer's machine what `make run` wrote to
// $ANNAL_HOME/servers.env for those that are not set. Data goes to standard output, progress and faults to standard error. The exit
// status is 0, or says which kind of fault ended the command (internal/fault's table: 2 wrong input, 5 missing, 9 unavailable ...).
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/internal/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		os.Exit(fault.KindOf(err).Exit())
	}
}

// execute runs one command line and tells its fault.
func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{Use: "annal", Short: "the operator's tool of Annal", SilenceUsage: true, SilenceErrors: true}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fault.Wrap(err, fault.Invalid, "FLAG_INVALID", "the command line is not understood; see --help")
	})
	t := &tool{environ: environ}
	root.AddCommand(group(importCommand(t)), group(projectionsCommand(t)), group(tokenCommand(t)), group(streamsCommand(t)))
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "annal:", err)
	}
	return err
}

// group makes a command of verbs refuse a word that is none of them; without any it prints its help.
func group(c *cobra.Command) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return fault.Newf(fault.Invalid, "VERB_UNKNOWN", "%s has no verb %q; see %s --help", c.CommandPath(), args[0], c.CommandPath())
	}
	return c
}

// exactly is cobra.ExactArgs with our own fault.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return fault.Newf(fault.Invalid, "ARGUMENTS", "%s takes %s; see --help", c.CommandPath(), what)
		}
		return nil
	}
}
