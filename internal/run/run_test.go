package run_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/run"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet(c run.Config) run.Config {
	c.Log = slog.New(slog.DiscardHandler)
	return c
}

// A journal is written by several parts at once.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) write(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// lasting is a part that takes its time to finish and writes down when it was told and when it ended.
func lasting(name string, took time.Duration, book *journal) run.Part {
	return run.Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		book.write("told " + name)
		time.Sleep(took) // the bubble's clock
		book.write("ended " + name)
		return nil
	}}
}

func TestPartsDrainFromTheLastToTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book journal
		ctx, cancel := context.WithCancel(t.Context())
		parts := []run.Part{lasting("store", time.Second, &book), lasting("relay", 2*time.Second, &book), lasting("http", 3*time.Second, &book)}
		time.AfterFunc(time.Minute, cancel)
		err := run.All(ctx, parts, quiet(run.Config{Draining: func() { book.write("not ready") }}))
		want := []string{"not ready", "told http", "ended http", "told relay", "ended relay", "told store", "ended store"}
		if diff := cmp.Diff(want, book.lines); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

func TestAPartThatEndsByItselfEndsAll(t *testing.T) {
	boom := fault.New(fault.Unavailable, "STORE_BROKEN", "the disk is gone")
	for name, own := range map[string]error{"with an error": boom, "without one": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var book journal
				parts := []run.Part{lasting("store", 0, &book), {Name: "relay", Run: func(context.Context) error { return own }}}
				err := run.All(t.Context(), parts, quiet(run.Config{}))
				if own == nil && fault.CodeOf(err) != "PART_ENDED" || own != nil && !errors.Is(err, boom) || !strings.Contains(err.Error(), "relay") {
					t.Fatalf("got %v", err)
				}
				if diff := cmp.Diff([]string{"told store", "ended store"}, book.lines); diff != "" {
					t.Fatal(diff)
				}
			})
		})
	}
}

func TestWhoDoesNotDrainIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book journal
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := run.All(ctx, []run.Part{lasting("store", 0, &book), lasting("stuck", time.Hour, &book)}, quiet(run.Config{DrainTimeout: time.Minute}))
		if fault.CodeOf(err) != "DRAIN_TIMEOUT" || !strings.Contains(err.Error(), "stuck") || time.Since(began) != time.Minute {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		time.Sleep(2 * time.Hour) // the stuck part ends inside the bubble
	})
}

func TestReadiness(t *testing.T) {
	var down error
	health := run.NewHealth(
		run.Check{Name: "postgres", Probe: func(context.Context) error { return down }},
		run.Check{Name: "store", Probe: func(context.Context) error { return nil }},
	)
	mux := http.NewServeMux()
	health.Register(mux)
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		text, err := io.ReadAll(rec.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return rec.Code, string(text)
	}
	want := func(path string, status int, text string) {
		t.Helper()
		if code, got := get(path); code != status || got != text {
			t.Errorf("%s: %d %q, want %d %q", path, code, got, status, text)
		}
	}
	want("/readyz", 200, "ok\n")
	want("/readyz?verbose", 200, "[+]postgres ok\n[+]store ok\nok\n")
	down = fault.Wrap(errors.New("dial tcp 10.0.0.7:5432"), fault.Unavailable, "POSTGRES_UNAVAILABLE", "PostgreSQL does not answer; try again")
	want("/readyz?verbose", 503, "[-]postgres PostgreSQL does not answer; try again\n[+]store ok\nnot ready\n")
	want("/livez", 200, "ok\n")
	down = run.Degraded(down)
	want("/readyz?verbose", 200, "[~]postgres degraded: PostgreSQL does not answer; try again\n[+]store ok\nok\n")
	down = nil
	health.Drain()
	want("/readyz", 503, "not ready\n")
	want("/livez", 200, "ok\n")
}

func TestHTTPLetsRequestsFinish(t *testing.T) {
	listener, err := run.Listen(t.Context(), "ANNAL_HTTP_LISTEN", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Listen(t.Context(), "ANNAL_HTTP_LISTEN", listener.Addr().String()); fault.CodeOf(err) != "ADDRESS_IN_USE" || !strings.Contains(err.Error(), "ANNAL_HTTP_LISTEN") {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel() // the daemon is told to stop while this request runs
		_, _ = io.WriteString(w, "finished")
	})
	done := make(chan error, 1)
	part := run.HTTP("http", listener, handler, time.Minute, slog.New(slog.DiscardHandler))
	go func() { done <- part.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "finished" {
		t.Fatalf("%q, %v", text, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
