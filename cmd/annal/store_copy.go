package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

func copyCommand(t *tool) *cobra.Command {
	c := &cobra.Command{
		Use: "copy --to URL", Short: "copy all domain events into another event store, and compare",
		Long: `Appends every domain event of this installation's event store to another one, in the log's order, with ids, revisions, types, bodies and
metadata as they are; then reads both and compares them. It can be interrupted and run again, also while the source grows: copy while the shop runs,
stop annald, and copy the rest. Positions are the other store's own, so read models, sagas' timers and the relay begin anew there:
docs/embedded-store.md says how to move.

An URL with a password does not belong on a command line: --to @FILE reads it from a file.`,
		Example: "  annal store copy --to 'esdb://127.0.0.1:2114?tls=false'\n  annal store copy --to @cluster.url",
		Args:    exactly(0, "no arguments, and --to"),
	}
	to := c.Flags().String("to", "", "the other event store, esdb://..., or @FILE with it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		defer t.close()
		target, err := targetURL(*to)
		if err != nil {
			return err
		}
		return copyStore(c.Context(), t, target, c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// targetURL reads what --to says.
func targetURL(said string) (string, error) {
	if said == "" {
		return "", fault.New(fault.Invalid, "FLAG_INVALID", "--to is missing: the other event store's URL, or @FILE with it")
	}
	if file, ok := strings.CutPrefix(said, "@"); ok {
		text, err := os.ReadFile(file)
		return strings.TrimSpace(string(text)), fault.Wrap(err, fault.Missing, "FILE_UNREADABLE", "the file with the other store's URL can't be read")
	}
	if u, err := url.Parse(said); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return "", fault.New(fault.Invalid, "SECRET_ON_COMMAND_LINE", "everybody on this machine can read a command line: put the URL with its password into a file and say --to @FILE")
		}
	}
	return said, nil
}

func copyStore(ctx context.Context, t *tool, target string, stdout, stderr io.Writer) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	source, err := t.store(cfg)
	if err != nil {
		return err
	}
	other, err := t.otherStore(target)
	if err != nil {
		return err
	}
	began := time.Now()
	tell := progress(stderr)
	done, err := eventstore.Copy(ctx, source, other, func(d eventstore.Copied) { tell(false, "copied", d.Events) })
	tell(true, "copied", done.Events)
	if err != nil {
		return t.interrupted(ctx, err)
	}
	compared, err := eventstore.Compare(ctx, source, other, done.Position, func(n int64) { tell(false, "compared", n) })
	tell(true, "compared", compared)
	if err != nil {
		return t.interrupted(ctx, err)
	}
	err = json.NewEncoder(stdout).Encode(struct {
		Copied   int64               `json:"copied"`
		Compared int64               `json:"compared"`
		Position eventstore.Position `json:"sourcePosition"`
		Seconds  float64             `json:"seconds"`
	}{done.Events, compared, done.Position, time.Since(began).Seconds()})
	return fault.Wrap(err, fault.Unavailable, "OUTPUT_CLOSED", "the output was closed")
}

func (t *tool) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(ctx.Err(), fault.Timeout, "COPY_INTERRUPTED", "interrupted; run the same command again to go on")
	}
	return t.away(err)
}

// progress returns a function that tells a count: in place on a terminal four times a second, a line every ten seconds otherwise,
// and whenever it is the last of its kind.
func progress(w io.Writer) func(last bool, what string, n int64) {
	every, begin, end := 10*time.Second, "", "\n"
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, begin, end = 250*time.Millisecond, "\r\x1b[K", ""
	}
	next := time.Now().Add(every)
	return func(last bool, what string, n int64) {
		if now := time.Now(); last || now.After(next) {
			next = now.Add(every)
			fmt.Fprintf(w, "%s%s %d events%s", begin, what, n, end)
			if last && end == "" {
				fmt.Fprintln(w)
			}
		}
	}
}
