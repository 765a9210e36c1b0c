package run

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// HTTP returns the part that serves handler on listener. Told to end it accepts nobody new and lets requests finish;
// patience bounds that, then connections are cut. WebSockets are hijacked connections: their own handler must end
// them when its context does.
func HTTP(name string, listener net.Listener, handler http.Handler, patience time.Duration, log *slog.Logger) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		server := &http.Server{
			Handler: handler,
			// Slow clients pay for themselves: none of these waits holds more than one connection's memory.
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      35 * time.Second, // a query may wait up to 30 s for its own write to be projected
			IdleTimeout:       60 * time.Second,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes and resets of strangers
		}
		failed := make(chan error, 1)
		go func() { failed <- server.Serve(listener) }()
		select {
		case err := <-failed:
			return fault.Wrap(err, fault.Internal, "HTTP_FAILED", "the HTTP server ended")
		case <-ctx.Done():
		}
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := server.Shutdown(bounded); err != nil {
			err = errors.Join(err, server.Close(), served(<-failed))
			return fault.Wrap(err, fault.Timeout, "HTTP_DRAIN", "requests were cut off")
		}
		return fault.Wrap(served(<-failed), fault.Internal, "HTTP_FAILED", "the HTTP server ended")
	}}
}

// served takes away how a server that was told to end reports it.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Listen opens a TCP address. Port 0 draws one.
//
// Fault: ADDRESS_IN_USE (unavailable), which names the setting to change.
func Listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "ADDRESS_IN_USE", setting+" names an address that can't be listened on; choose another")
	}
	return l, nil
}
