// Command annald is Annal's daemon: one binary whose roles say what a process of it does.
//
//	annald --roles all                              everything in one process (make run)
//	annald --roles api                              the GraphQL API; any number, they have no state
//	annald --roles relay,projector                  some roles together
//	annald --roles worker=payment,inventory         command workers of some contexts
//	annald --migrate                                brings the database up to date, with roles and rights, and ends
//	annald --print-config                           the table of settings with their values, secrets left out
//
// Every process serves /livez and /readyz at ANNAL_HTTP_LISTEN (the role api adds /graphql) and /metrics and pprof at
// ANNAL_ADMIN_LISTEN. Settings are the table of internal/config. SIGTERM, SIGHUP and Ctrl-C drain (internal/run) and the exit
// status is 0; a second Ctrl-C ends at once (signals.go); a refused start or a part that died gives the exit status of its fault's kind
// (internal/fault).
//
// main is a value: a Daemon is made and run by tests in their own process, on port 0 (daemon.go). This folder is the only
// one that wires; each role has a file role_<name>.go that says what it is made of.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/annalhq/annal/internal/build"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
)

func main() {
	ctx, stop := untilSignal(context.Background(), os.Stderr, os.Exit)
	err := execute(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "annald:", err)
		os.Exit(fault.KindOf(err).Exit())
	}
}

// execute is main without the process around it.
func execute(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	asked, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(environ)
	if err != nil {
		return err
	}
	switch {
	case asked.help:
		return nil
	case asked.version:
		_, err = fmt.Fprintln(stdout, build.Version())
		return err
	case asked.printConfig:
		_, err = fmt.Fprint(stdout, cfg)
		return err
	case asked.migrate:
		return migrate(ctx, cfg)
	}
	d, err := New(ctx, cfg, asked.roles, stderr)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}
