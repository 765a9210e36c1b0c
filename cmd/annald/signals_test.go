package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A closed terminal, which sends SIGHUP, drains like SIGTERM.
func TestSIGHUPDrains(t *testing.T) {
	t.Parallel()
	p := startStore(t, t.TempDir())
	p.up(t)
	p.signal(t, syscall.SIGHUP)
	p.signal(t, syscall.SIGHUP) // shell and kernel both send it
	if status := p.end(t); status != 0 || !strings.Contains(p.logs.String(), `"msg":"ended"`) {
		t.Errorf("it ends with %d:\n%s", status, &p.logs)
	}
}

// Under nohup SIGHUP is ignored and stays so; SIGTERM ends the process.
func TestUnderNohupItStays(t *testing.T) {
	t.Parallel()
	nohup, err := exec.LookPath("nohup")
	if err != nil {
		t.Skip("no nohup on this machine")
	}
	p := prepareStore(t, t.TempDir())
	p.cmd.Path, p.cmd.Args = nohup, append([]string{"nohup"}, p.cmd.Args...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.up(t)
	p.signal(t, syscall.SIGHUP)
	p.up(t)
	p.signal(t, syscall.SIGTERM)
	if status := p.end(t); status != 0 || strings.Count(p.logs.String(), `"msg":"draining"`) != 1 {
		t.Errorf("it ends with %d:\n%s", status, &p.logs)
	}
}

// A request that does not end keeps a process draining for seconds; a second Ctrl-C ends it at once, and it says so.
func TestASecondCtrlCEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := startStore(t, t.TempDir())
	p.up(t)
	slow, err := net.Dial("tcp", p.http)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("GET /readyz HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	get(t, "http://"+p.http+"/livez") // its connection was accepted after the slow one
	p.signal(t, os.Interrupt)
	p.says(t, `"msg":"draining"`)
	p.signal(t, os.Interrupt)
	if status := p.end(t); status != impatient || !strings.Contains(p.logs.String(), "annald: ended at once by a second signal") {
		t.Errorf("it ends with %d:\n%s", status, &p.logs)
	}
}
