package eventstore

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// The official client must not learn that the store is away: it would look for it, not find it, and die with everybody who
// waits inside it. It did not look if it still hands out the connection that it had.
func TestTheOfficialClientNeverLooksForTheStore(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	c, err := Open(store.URL, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // returns nil always
	s, err := c.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.gate.RLock() // keeps the session from being closed while we look into it
	defer s.gate.RUnlock()
	store.Stop()
	for range 3 {
		_, err := guard(t.Context(), s, func() (*esdb.WriteResult, error) {
			return s.official.AppendToStream(t.Context(), "order-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}})
		})
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("append: %v", err)
		}
		_, err = guard(t.Context(), s, func() (*esdb.ResolvedEvent, error) {
			read, err := s.official.ReadStream(t.Context(), "order-1", esdb.ReadStreamOptions{}, 1)
			if err != nil {
				return nil, err
			}
			defer read.Close()
			return read.Recv()
		})
		if !errors.Is(err, ErrUnavailable) {
			t.Fatalf("read: %v", err)
		}
	}
	if _, err := s.official.GetServerVersion(); err != nil {
		t.Errorf("it looked for the store: %v", err)
	}
	if c.current.Load() == s {
		t.Error("the session is still in use")
	}
}
