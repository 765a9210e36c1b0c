// Command annal is the operator's tool: noun, then verb.
//
//	annal import online-retail FILE     import the sales of an online retailer through the shop's commands
//	annal import report                 what the imports of this home did not take, and why
//	annal projections digest            one hash per read model, to compare two ways to the same state
//	annal token issue                   a bearer token for the API, for a developer's machine
//	annal store user add|ls|rm          who may use the embedded event store
//	annal streams read STREAM|ID        the events of a stream, or of what a global id of the API names
//	annal store copy --to URL           all domain events into another event store, e.g. a cluster, compared afterwards
//	annal store backup|restore|verify|scavenge|stat   the embedded event store, running or stopped
//
// It reads the same settings as annald (ANNAL_...), and on a developer's machine what `make run` wrote to
// $ANNAL_HOME/servers.env for those that are not set. Data goes to standard output, progress and faults to standard error. The exit
// status is 0, or says which kind of fault ended the command (internal/fault's table: 2 wrong input, 5 missing, 9 unavailable ...).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/internal/build"
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

// execute runs one command line and tells its fault, with the code that documents and logs call it by.
func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	root := newRoot(&tool{environ: environ})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "annal: %s [%s]\n", told(err), fault.CodeOf(err))
	}
	return err
}

func newRoot(t *tool) *cobra.Command {
	root := &cobra.Command{Use: "annal", Short: "the operator's tool of Annal", SilenceUsage: true, SilenceErrors: true,
		Long: `The operator's tool of Annal. It reads the settings of annald (ANNAL_..., see annald --print-config) and, for those that are not set,
what make wrote to servers.env below ANNAL_HOME (default .annal).

Data goes to standard output: a table on a terminal, JSON in a pipe. Progress and faults go to standard error. The exit status says what kind of fault it was:
1 something that should not happen, 2 wrong input, 3 who are you, 4 not allowed, 5 not there, 6 a conflict, 7 no room, 8 too late or interrupted, 9 a server is away.`, Version: build.Version()}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.Newf(fault.Invalid, "FLAG_INVALID", "%v; see %s --help", err, c.CommandPath())
	})
	root.AddCommand(group(importCommand(t)), group(projectionsCommand(t)), group(tokenCommand(t)), group(streamsCommand(t)), group(storeCommand(t)))
	return group(root)
}

// told is what an operator reads of a fault: its message, without the words of the libraries below. What is wrong with the input, or
// what nobody expected, is told with its cause; so is why a file of this machine can't be used.
func told(err error) string {
	if kind := fault.KindOf(err); kind == fault.Invalid || kind == fault.Internal {
		return err.Error()
	}
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return fault.MessageOf(err) + ": " + file.Error()
	}
	return fault.MessageOf(err)
}

// group makes a command of verbs refuse a word that is none of them; without any it prints its help.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2 // letters, at most
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		near := c.SuggestionsFor(args[0])
		if len(near) == 0 {
			for _, verb := range c.Commands() {
				if verb.IsAvailableCommand() {
					near = append(near, verb.Name())
				}
			}
			return fault.Newf(fault.Invalid, "VERB_UNKNOWN", "%s has no verb %q; it has %s", c.CommandPath(), args[0], strings.Join(near, ", "))
		}
		return fault.Newf(fault.Invalid, "VERB_UNKNOWN", "%s has no verb %q; did you mean %s?", c.CommandPath(), args[0], strings.Join(near, " or "))
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
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
