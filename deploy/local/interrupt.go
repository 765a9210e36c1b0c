package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// untilSignal returns a context that ends with the first signal that asks us to end; a second one is answered with why it takes a
// moment, since what goes on after the first (a drain) has a bound of its own. A closed terminal (SIGHUP) asks as Ctrl-C does, unless
// nohup said that it doesn't. A reader that went away first (`make run | tee`, and Ctrl-C is for both) must not end us before the drain.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got, over := make(chan os.Signal, 4), make(chan struct{})
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(got, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // noted, not ignored: children would inherit that
	go func() {
		for {
			select {
			case <-over:
				return
			case s := <-got:
				if ctx.Err() != nil {
					say("still ending what was begun; that takes %v at most", drain)
				}
				cancel(signalled{s})
			}
		}
	}()
	return ctx, func() { signal.Stop(got); close(over); cancel(nil) }
}

// signalled is why a context of untilSignal ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return "signal: " + s.String() }

// status is what a shell says of a program that this signal ended.
func (s signalled) status() int {
	if n, ok := s.Signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}

// A cut is an error that came of the interruption, with what was under way.
type cut struct {
	doing string
	error
}

func (c cut) Unwrap() error { return c.error }

// during names what err interrupted. Ctrl-C on a terminal is for our children too: one may be gone a moment before we are told.
func during(ctx context.Context, doing string, err error) error {
	var died *exec.ExitError
	if errors.As(err, &died) {
		_ = pause(ctx, 200*time.Millisecond) // its error is looked at below
	}
	if err == nil || ctx.Err() == nil {
		return err
	}
	return cut{doing, err}
}

// interrupted is what main says after a signal: one line of what was cut off, what still runs, and how to go on.
type interrupted struct {
	doing, running []string
	command        string
	rest           error // what went wrong besides, while ending
}

func (i interrupted) Error() string {
	text := "interrupted"
	if len(i.doing) > 0 {
		text += " while " + strings.Join(i.doing, " and ")
	}
	switch len(i.running) {
	case 0:
		text += "; nothing is left running"
	case 1:
		text += fmt.Sprintf("; %s still runs: `make down` ends it", i.running[0])
	default:
		text += fmt.Sprintf("; %s still run: `make down` ends them", strings.Join(i.running, " and "))
	}
	text += "; " + again(i.command) + " goes on where this one stopped"
	if i.rest != nil {
		text += "\nand besides: " + i.rest.Error()
	}
	return text
}

// again is how to call the command once more.
func again(command string) string {
	switch {
	case command == "servers --build": // the first line of these targets
		return "the same `make`"
	case strings.Contains(command, " "):
		return "`bin/annal-local " + command + "`"
	}
	return "`make " + command + "`"
}

func (i interrupted) Unwrap() error { return i.rest }

// explain makes of an interrupted command's errors the line that a person wants; other errors stay as they are.
func (h *home) explain(ctx context.Context, command string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	told := interrupted{command: command}
	told.sort(err)
	if err := h.load(); err != nil {
		told.rest = errors.Join(told.rest, err)
	}
	told.running = h.running()
	return told
}

// sort takes a tree of errors apart into what the signal did and what it did not.
func (i *interrupted) sort(err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // each branch is asked by itself
		for _, one := range many.Unwrap() {
			i.sort(one)
		}
		return
	}
	var c cut
	switch {
	case errors.As(err, &c):
		if !slices.Contains(i.doing, c.doing) {
			i.doing = append(i.doing, c.doing)
		}
	case !errors.Is(err, context.Canceled):
		i.rest = errors.Join(i.rest, err)
	}
}
