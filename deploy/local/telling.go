package main

import (
	"strings"
	"time"
)

// telling says what takes long, after a second and then every 15: somebody who sees nothing for minutes (a first build, a package
// manager) takes it for stuck. What is over within the second is not told. What stands behind a
// semicolon is told once. The function it returns ends it.
func telling(what string) (over func()) { return tellTo(say, what) }

func tellTo(say func(string, ...any), what string) (over func()) {
	short, _, _ := strings.Cut(what, ";")
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		began := time.Now()
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case <-timer.C:
			}
			if first {
				say("%s", what)
			} else {
				say("still %s (%.0f s)", short, time.Since(began).Seconds())
			}
			timer.Reset(15 * time.Second)
		}
	}()
	return func() { close(done); <-stopped }
}
