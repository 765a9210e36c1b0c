package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/annalhq/annal/eventstore/engine/admin"
	"github.com/annalhq/annal/internal/fault"
)

// What a verb says on standard output is data: on a terminal a table, in a pipe or a file JSON, a line for each thing. Two say a word that is
// used as it is, a token and a drawn password; streams read prints lines of JSON everywhere. There are no colours, so NO_COLOR has nothing
// to switch off.

// pair is a line of a table that shows one thing.
type pair struct {
	name  string
	value any
}

// printResult shows one thing.
func printResult(c *cobra.Command, result any, pairs []pair) error {
	t := newTable()
	for _, p := range pairs {
		t.AppendRow(table.Row{p.name, p.value})
	}
	return printTable(c.OutOrStdout(), t, []any{result})
}

// printTable shows a table on a terminal, and otherwise the things that it is a table of.
func printTable[T any](w io.Writer, t table.Writer, things []T) (err error) {
	if onTerminal(w) {
		_, err = fmt.Fprintln(w, t.Render())
	} else {
		out := json.NewEncoder(w)
		for _, thing := range things {
			err = errors.Join(err, out.Encode(thing))
		}
	}
	return fault.Wrap(err, fault.Unavailable, "OUTPUT_CLOSED", "the output was closed")
}

func newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	return t
}

func onTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// A teller writes progress to standard error: one line that is written over on a terminal, now and then a line of its own elsewhere.
type teller struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func newTeller(c *cobra.Command) *teller {
	w := c.ErrOrStderr()
	return &teller{w: w, terminal: onTerminal(w)}
}

func (t *teller) say(what string) { fmt.Fprintln(t.w, what) }

func (t *teller) progress(p admin.Progress) { t.step(p.Step, p.Done, p.Of) }

func (t *teller) step(what string, done, of uint64) {
	pause := 5 * time.Second
	if t.terminal {
		pause = 200 * time.Millisecond
	}
	if time.Since(t.last) < pause {
		return
	}
	t.last = time.Now()
	text := fmt.Sprintf("%s: %d", what, done)
	if of > 0 {
		text = fmt.Sprintf("%s: %d of %d (%d%%)", what, done, of, 100*done/of)
	}
	if t.terminal {
		fmt.Fprintf(t.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(t.w, text)
}

// confirm asks the operator to type word, unless yes was said. Without a terminal it takes yes.
func confirm(c *cobra.Command, yes bool, word, what string) error {
	if yes {
		return nil
	}
	if !onTerminal(c.InOrStdin()) {
		return fault.Newf(fault.Invalid, "UNCONFIRMED", "%s; say --yes, or run it on a terminal", what)
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s. Type %q to go on: ", what, word)
	answer, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != word {
		return fault.New(fault.Invalid, "UNCONFIRMED", "not confirmed; nothing was done")
	}
	return nil
}
