package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
		return copyStore(c, t, target)
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

func copyStore(c *cobra.Command, t *tool, targetURL string) error {
	ctx := c.Context()
	cfg, err := t.config()
	if err != nil {
		return err
	}
	source, err := t.storeAt("source, the event store", cfg.StoreURL())
	if err != nil {
		return err
	}
	target, err := t.storeAt("target, the event store", targetURL)
	if err != nil {
		return err
	}
	began := time.Now()
	all, err := lastPosition(ctx, source)
	if err != nil {
		return t.interrupted(ctx, &eventstore.StoreFault{Fault: err})
	}
	copying := newCourse(c, "copied", all)
	done, err := eventstore.Copy(ctx, source, target, copying.tell)
	copying.end(done.Events, err)
	if err != nil {
		return t.interrupted(ctx, err)
	}
	comparing := newCourse(c, "compared", done.Position)
	compared, err := eventstore.Compare(ctx, source, target, done.Position, comparing.tell)
	comparing.end(compared, err)
	if err != nil {
		return t.interrupted(ctx, err)
	}
	took := time.Since(began).Seconds()
	return printResult(c, struct {
		Copied   int64               `json:"copied"`
		Compared int64               `json:"compared"`
		Position eventstore.Position `json:"sourcePosition"`
		Seconds  float64             `json:"seconds"`
	}{done.Events, compared, done.Position, took}, []pair{{"events copied", done.Events}, {"events compared", compared},
		{"the source's position", done.Position}, {"seconds", fmt.Sprintf("%.1f", took)}})
}

// lastPosition returns the position of the newest domain event, 0 if there is none.
func lastPosition(ctx context.Context, store *eventstore.Client) (eventstore.Position, error) {
	for last, err := range store.ReadAllBackwards(ctx, 0, 1, eventstore.Filter{}) {
		return last.Position, err
	}
	return 0, nil
}

func (t *tool) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(ctx.Err(), fault.Timeout, "COPY_INTERRUPTED", "interrupted; run the same command again to go on")
	}
	return t.away(ctx, err)
}

// A course tells how far a way through the source's log is, and how long the rest may take: in place on a terminal four times a second, a line
// every ten seconds otherwise, and at its end. How many events there are nobody knows before; their positions are known.
type course struct {
	w          io.Writer
	what       string
	began      time.Time
	first      eventstore.Position // where it begins: a copy that goes on begins behind what is there
	last       eventstore.Position
	every      time.Duration
	next       time.Time
	begin, eol string
}

func newCourse(c *cobra.Command, what string, last eventstore.Position) *course {
	k := &course{w: c.ErrOrStderr(), what: what, last: last, began: time.Now(), every: 10 * time.Second, eol: "\n"}
	if onTerminal(k.w) {
		k.every, k.begin, k.eol = 250*time.Millisecond, "\r\x1b[K", ""
	}
	k.next = k.began.Add(k.every)
	return k
}

func (k *course) tell(d eventstore.Copied) {
	if k.first == 0 {
		k.first = d.Position
	}
	now := time.Now()
	if now.Before(k.next) {
		return
	}
	k.next = now.Add(k.every)
	fmt.Fprintf(k.w, "%s%s %d events%s%s", k.begin, k.what, d.Events, k.rest(d.Position, now.Sub(k.began)), k.eol)
}

// rest says which part of the way is done, and how long the other will take at this speed.
func (k *course) rest(at eventstore.Position, took time.Duration) string {
	if at <= k.first || k.last <= k.first {
		return ""
	}
	part := min(1, float64(at-k.first)/float64(k.last-k.first)) // the source may have grown since
	left := time.Duration(float64(took) * (1 - part) / part)
	return fmt.Sprintf(", %d%%, about %s left", int(part*100), left.Round(time.Second))
}

func (k *course) end(events int64, err error) {
	whole := ", 100%"
	if err != nil {
		whole = ""
	}
	fmt.Fprintf(k.w, "%s%s %d events%s\n", k.begin, k.what, events, whole)
}
