// Command suite is `make test`'s view of `go test`: it runs it over groups of packages, says what goes on meanwhile, shows what failed, and ends
// with the time of each package and every test that was skipped, with its reason.
//
//	suite FLAG... -- [FLAG...] PACKAGE... [-- [FLAG...] PACKAGE...]
//
// The flags before the first -- go to every group, those within a group to it alone (-race for some packages).
//
// Invariant: a suite that tests nothing is not green. A skip that is not on the list of skips.go fails the run as a failed test does: plain
// `go test` says `ok` of a package whose tests were all skipped, and hides the reasons without -v. So does a run in which no test
// passed. deploy/local/test.sh is the only caller. Exit status 0: all well; 1: something failed or was skipped without leave; 2: called wrongly; 130: interrupted.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	common, groups := split(os.Args[1:])
	if len(groups) == 0 {
		fmt.Fprintln(os.Stderr, "usage: suite FLAG... -- [FLAG...] PACKAGE... [-- ...]")
		os.Exit(2)
	}
	began := time.Now()
	s := newSuite(os.Stdout)
	for _, group := range groups {
		err := run(ctx, s, append(slices.Clone(common), group...))
		if ctx.Err() != nil {
			fmt.Printf("interrupted after %.0f s: %d packages done, %d tests passed, failed: %s\n", time.Since(began).Seconds(), len(s.packs), s.passed,
				cmp.Or(strings.Join(s.failed, ", "), "none"))
			stop()
			os.Exit(130)
		}
		if err != nil {
			s.trouble = append(s.trouble, err.Error())
		}
	}
	if !s.report(time.Since(began)) {
		stop()
		os.Exit(1)
	}
}

// split takes the command line apart at --.
func split(args []string) (common []string, groups [][]string) {
	first := true
	for {
		i := slices.Index(args, "--")
		part := args
		if i >= 0 {
			part = args[:i]
		}
		if first {
			common, first = part, false
		} else if len(part) > 0 {
			groups = append(groups, part)
		}
		if i < 0 {
			return common, groups
		}
		args = args[i+1:]
	}
}

// run is one `go test -json`. What it says of tests goes to the suite, what else it says (no such package) to standard error.
func run(ctx context.Context, s *suite, args []string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends the tests, which end what they started
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := s.follow(out); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// follow hands the lines of go test to the suite and says every half minute what it waits for.
func (s *suite) follow(out io.Reader) error {
	lines, ended := make(chan []byte), make(chan error, 1)
	go func() { // ends with the pipe
		defer close(lines)
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				lines <- line
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				ended <- err
				return
			}
		}
	}()
	began := time.Now()
	ticks := time.NewTicker(30 * time.Second)
	defer ticks.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return <-ended
			}
			s.line(line)
		case <-ticks.C:
			fmt.Fprintf(s.out, "%4.0f s: %s\n", time.Since(began).Seconds(), s.waitingFor())
		}
	}
}
