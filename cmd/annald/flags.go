package main

import (
	"errors"
	"flag"
	"io"

	"github.com/annalhq/annal/internal/fault"
)

type flags struct {
	roles                               string
	migrate, printConfig, version, help bool
}

func parseFlags(args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("annald", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.roles, "roles", "", "all, or a list of api, eventstore, relay, projector, worker[=context,..], notary")
	set.BoolVar(&f.migrate, "migrate", false, "bring the database up to date with the login of ANNAL_POSTGRES_URL, and end")
	set.BoolVar(&f.printConfig, "print-config", false, "print the settings, secrets left out, and end")
	set.BoolVar(&f.version, "version", false, "print the version and end")
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return flags{help: true}, nil
	}
	if err != nil {
		return flags{}, fault.Wrap(err, fault.Invalid, "FLAG_INVALID", "annald --help tells the flags")
	}
	if set.NArg() > 0 {
		return flags{}, fault.Newf(fault.Invalid, "FLAG_INVALID", "%q is not a flag; annald --help tells them", set.Arg(0))
	}
	if f.migrate && f.roles != "" {
		return flags{}, fault.New(fault.Invalid, "FLAG_INVALID", "--migrate ends when it is done; say --roles in another call")
	}
	return f, nil
}
