package run

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// A Check says whether one dependency answers.
type Check struct {
	Name     string
	Probe    func(ctx context.Context) error
	Report   func(ctx context.Context) (string, error) // in place of Probe, for a check that has something to tell when all is well
	Optional bool                                      // without it the process works, slower: it is told as degraded and does not make /readyz say no
}

// ask returns what stands behind ok.
func (c Check) ask(ctx context.Context) (said string, err error) {
	if c.Report == nil {
		return "", c.Probe(ctx)
	}
	if said, err = c.Report(ctx); said != "" {
		said = ": " + said
	}
	return said, err
}

// Degraded marks what a probe found as no reason to send callers away, for a check whose other findings are one.
func Degraded(err error) error {
	if err == nil {
		return nil
	}
	return degraded{err}
}

type degraded struct{ error }

func (d degraded) Unwrap() error { return d.error }

// probing bounds all checks of one request together.
const probing = 3 * time.Second

// Health answers /livez and /readyz. Liveness is the process alone: a dead database must not make a supervisor restart
// every daemon. Readiness is every check, and becomes no for good when draining begins.
type Health struct {
	checks   []Check
	draining atomic.Bool
}

// NewHealth returns the health of a process that depends on checks.
func NewHealth(checks ...Check) *Health { return &Health{checks: checks} }

// Drain makes /readyz say no, so that balancers send nobody any more.
func (h *Health) Drain() { h.draining.Store(true) }

// Register adds /livez, /readyz and the alias /healthz to mux. ?verbose tells every check; a failed one is told by the
// message of its fault, never by its cause; a probe that wants hosts told puts them into the message.
func (h *Health) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /healthz", h.ready)
}

func (h *Health) ready(w http.ResponseWriter, r *http.Request) {
	failed, lines := h.probe(r.Context())
	status, verdict := http.StatusOK, "ok\n"
	if failed {
		status, verdict = http.StatusServiceUnavailable, "not ready\n"
	}
	if r.URL.Query().Has("verbose") {
		verdict = strings.Join(lines, "") + verdict
	}
	answer(w, status, verdict)
}

func (h *Health) probe(ctx context.Context) (failed bool, lines []string) {
	ctx, cancel := context.WithTimeout(ctx, probing)
	defer cancel()
	lines = make([]string, len(h.checks))
	var no atomic.Bool
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() {
			said, err := c.ask(ctx)
			if err != nil && (c.Optional || errors.As(err, &degraded{})) {
				lines[i] = fmt.Sprintf("[~]%s degraded: %s\n", c.Name, fault.MessageOf(err))
				return
			}
			if err != nil {
				no.Store(true)
				lines[i] = fmt.Sprintf("[-]%s %s\n", c.Name, fault.MessageOf(err))
				return
			}
			lines[i] = fmt.Sprintf("[+]%s ok%s\n", c.Name, said)
		})
	}
	wg.Wait()
	if h.draining.Load() {
		return true, append(lines, "[-]draining\n")
	}
	return no.Load(), lines
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, text) // the client has left: nobody to tell
}
