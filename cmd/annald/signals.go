package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// impatient is the exit status of a process that a second Ctrl-C ended: 128 and the signal's number, as a shell would say.
const impatient = 128 + int(syscall.SIGINT)

// untilSignal returns a context that ends with the first signal that means "stop": SIGTERM (a supervisor), Ctrl-C, and SIGHUP, since a
// daemon whose terminal was closed has nobody left to stop it. Under nohup, and wherever else SIGHUP is ignored from the start, it stays
// ignored.
//
// Draining may take ANNAL_DRAIN_TIMEOUT. A Ctrl-C during it calls atOnce, which is not to return; nothing that was acknowledged is lost by
// that. Only Ctrl-C does: a closing terminal and many supervisors send the other two more than once.
func untilSignal(parent context.Context, stderr io.Writer, atOnce func(status int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	stopping := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		stopping = append(stopping, syscall.SIGHUP)
	}
	arrived, ended := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(arrived, stopping...)
	go func() {
		defer close(ended)
		select {
		case <-arrived:
			cancel()
		case <-ctx.Done():
		}
		for s := range arrived {
			if s == os.Interrupt {
				_, _ = fmt.Fprintln(stderr, "annald: ended at once by a second signal, without draining; what was acknowledged is safe") // the last word
				atOnce(impatient)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(arrived)
		close(arrived)
		cancel()
		<-ended
	}
}
