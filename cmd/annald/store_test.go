package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/engine/admin"
	"github.com/annalhq/annal/internal/fault"
)

const childVariable = "ANNALD_TEST_CHILD"

// address draws a free one.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A storeProcess is annald with the role eventstore alone, as a process.
type storeProcess struct {
	cmd                *exec.Cmd
	logs               output
	store, http, admin string
}

func startStore(t *testing.T, home string) *storeProcess {
	t.Helper()
	p := prepareStore(t, home)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// prepareStore returns a process that is still to be started.
func prepareStore(t *testing.T, home string, more ...string) *storeProcess {
	t.Helper()
	p := &storeProcess{store: address(t), http: address(t), admin: address(t), logs: output{grown: make(chan struct{}, 1)}}
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestStoreAsAProcess$")
	p.cmd.Env = append([]string{childVariable + "=1", "PATH=" + os.Getenv("PATH"), "ANNAL_MODE=development", "ANNAL_HOME=" + home, "ANNAL_HTTP_LISTEN=" + p.http,
		"ANNAL_ADMIN_LISTEN=" + p.admin, "ANNAL_EVENTSTORE_LISTEN=" + p.store}, more...)
	p.cmd.Stderr = &p.logs
	return p
}

func (p *storeProcess) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
}

// says waits until the process has written text.
func (p *storeProcess) says(t *testing.T, text string) {
	t.Helper()
	late := time.After(40 * time.Second)
	for !strings.Contains(p.logs.String(), text) {
		select {
		case <-p.logs.grown:
		case <-late:
			t.Fatalf("it does not say %s:\n%s", text, &p.logs)
		}
	}
}

// An output is what a process has written so far.
type output struct {
	transcript
	grown chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.transcript.Write(b)
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return n, err
}

// end waits for the process, kills it if it does not end, and returns its exit status.
func (p *storeProcess) end(t *testing.T) int {
	t.Helper()
	late := time.AfterFunc(40*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// up waits until the process answers at its admin listener.
func (p *storeProcess) up(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err == nil {
			resp.Body.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("it does not start: %v", err)
		}
	}
}

// A store as a process of its own: a second process on the same directory is refused; a backup is taken while it works; on SIGTERM it ends in peace
// although somebody is subscribed, and has kept all that it acknowledged.
func TestStoreAsAProcess(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		ctx, stop := untilSignal(context.Background(), os.Stderr, os.Exit)
		err := execute(ctx, []string{"--roles", "eventstore"}, os.Environ(), os.Stdout, os.Stderr)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "annald:", err)
			os.Exit(fault.KindOf(err).Exit())
		}
		os.Exit(0)
	}
	home := t.TempDir()
	first := startStore(t, home)
	first.up(t)

	second := startStore(t, home)
	if status := second.end(t); status != fault.Unavailable.Exit() || !strings.Contains(second.logs.String(), "another process has this event store open") {
		t.Errorf("a second process on the directory ends with %d:\n%s", status, &second.logs)
	}

	client, err := eventstore.Open("esdb://"+first.store+"?tls=false", eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, subscribed := make(chan struct{}, 1000), make(chan error, 1)
	go func() {
		subscribed <- client.Subscribe(ctx, 0, eventstore.Filter{}, func(item eventstore.Item) error {
			select {
			case seen <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	const events = 50
	for i := range events {
		e := eventstore.Event{ID: uuid.New(), Type: "thing.done.v1", Data: []byte(`{}`), Metadata: []byte(`{}`)}
		if _, err := client.Append(ctx, "order-1", eventstore.Revision(i-1), []eventstore.Event{e}); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	<-seen
	var b admin.Backup
	err = admin.Call(ctx, first.admin, "backup", admin.Request{Directory: filepath.Join(home, "eventstore"), Name: "b"}, &b, nil)
	if err != nil || b.Position < events {
		t.Errorf("a backup beside work: %+v, %v", b, err)
	}
	if code, text := get(t, "http://"+first.admin+"/metrics"); code != 200 || !strings.Contains(text, "annal_eventstore_subscriptions 1") ||
		!strings.Contains(text, fmt.Sprintf("annal_eventstore_visible_position %d", b.Position)) {
		t.Errorf("metrics: %d %.3000s", code, text)
	}

	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := first.end(t); status != 0 || strings.Contains(first.logs.String(), `"level":"ERROR"`) {
		t.Errorf("it ends with %d:\n%s", status, &first.logs)
	}
	stop()
	<-subscribed
	db, err := engine.OpenReadOnly(filepath.Join(home, "eventstore"), engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	page, err := db.ReadStream("order-1", 0, engine.Forwards, 2*events)
	if err != nil || len(page.Records) != events {
		t.Errorf("%d of %d events are left, %v", len(page.Records), events, err)
	}
}
