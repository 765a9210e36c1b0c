package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/annalhq/annal/internal/build"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/run"
	"github.com/annalhq/annal/internal/telemetry"
)

// A Daemon is one process of annald as a value: New listens and opens, Run blocks until its context ends.
//
// The roles' recipes use its fields; nothing outside this folder does.
type Daemon struct {
	cfg      config.Config
	asked    selection
	roles    []role // that were built
	log      *slog.Logger
	registry *prometheus.Registry
	mux      *http.ServeMux // of ANNAL_HTTP_LISTEN
	http     net.Listener
	admin    net.Listener
	parts    []run.Part // without the two HTTP servers
	checks   []run.Check
	admins   []func(*http.ServeMux)        // what roles add to the admin listener
	closers  []func(context.Context) error // in the order opened
	house    house                         // what roles share
}

// New builds the roles named by list. It returns with the daemon's addresses open and its dependencies answering, or with
// everything closed again.
//
// Faults: ROLE_UNKNOWN, ROLE_ABSENT, SETTING_INVALID, ADDRESS_IN_USE, and those of what the roles open.
func New(ctx context.Context, cfg config.Config, list string, logs io.Writer) (*Daemon, error) {
	asked, err := parseRoles(list)
	if err != nil {
		return nil, err
	}
	log, err := telemetry.NewLogger(logs, cfg.LogLevel)
	if err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, asked: asked, log: log, registry: telemetry.NewRegistry(build.Version()), mux: http.NewServeMux()}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

func (d *Daemon) open(ctx context.Context) error {
	end, err := telemetry.StartTracing(ctx, "annald", build.Version(), os.Getenv, d.log)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, end)
	if err := d.listen(ctx); err != nil {
		return err
	}
	if err := d.knock(ctx); err != nil {
		return err
	}
	if d.cfg.Postgres().OneLogin {
		d.log.WarnContext(ctx, "services have no Postgres roles of their own (ANNAL_POSTGRES_ROLES=none): each may do what the login of its URL may")
	}
	return d.buildRoles(ctx)
}

func (d *Daemon) listen(ctx context.Context) (err error) {
	if d.http, err = run.Listen(ctx, "ANNAL_HTTP_LISTEN", d.cfg.HTTPListen); err != nil {
		return err
	}
	d.closers = append(d.closers, closing(d.http))
	if d.admin, err = run.Listen(ctx, "ANNAL_ADMIN_LISTEN", d.cfg.AdminListen); err != nil {
		return err
	}
	d.closers = append(d.closers, closing(d.admin))
	return nil
}

// closing closes a listener that may have been closed by its server.
func closing(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// buildRoles calls the recipes asked for. A role asked for by name must exist; all means all that this build has.
func (d *Daemon) buildRoles(ctx context.Context) error {
	for _, r := range recipes() {
		if !d.asked.has(r.role) || d.asked.all && r.role == roleEventStore && !d.cfg.StoreIsEmbedded() {
			continue
		}
		err := r.build(ctx, d)
		if d.asked.all && errors.Is(err, absent(r.role)) {
			d.log.InfoContext(ctx, "role left out", "role", r.role, "why", fault.MessageOf(err))
			continue
		}
		if err != nil {
			return err
		}
		d.roles = append(d.roles, r.role)
		d.log.InfoContext(ctx, "role built", "role", r.role)
	}
	return nil
}

// Run starts the parts and blocks until ctx ends or a part does; then it drains and closes everything. It is called once.
func (d *Daemon) Run(ctx context.Context) error {
	health := run.NewHealth(d.checks...)
	health.Register(d.mux)
	// The admin server is the first part, so the last to end: metrics are readable while the others drain.
	parts := append([]run.Part{run.HTTP("admin", d.admin, d.adminMux(), time.Second, d.log)}, d.parts...)
	parts = append(parts, run.HTTP("http", d.http, d.mux, d.cfg.DrainTimeout/2, d.log))
	d.log.InfoContext(ctx, "listening", "http", d.HTTPAddr(), "admin", d.AdminAddr(), "roles", d.roles)
	err := run.All(ctx, parts, run.Config{DrainTimeout: d.cfg.DrainTimeout, Draining: health.Drain, Log: d.log})
	err = errors.Join(err, d.close(context.WithoutCancel(ctx)))
	d.log.InfoContext(ctx, "ended", "error", err)
	return err
}

// close undoes open in reverse, within a few seconds.
func (d *Daemon) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i](ctx))
	}
	d.closers = nil
	return errors.Join(errs...)
}

// HTTPAddr is where /livez, /readyz and /graphql are, with the port that was drawn for port 0.
func (d *Daemon) HTTPAddr() string { return d.http.Addr().String() }

// AdminAddr is where /metrics and pprof are.
func (d *Daemon) AdminAddr() string { return d.admin.Addr().String() }

func (d *Daemon) adminMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{Registry: d.registry}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for _, add := range d.admins {
		add(mux)
	}
	return mux
}
