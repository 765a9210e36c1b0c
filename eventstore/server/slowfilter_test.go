package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
)

// slowly is a filter that needs longer for a name of slowName than a page of a group may take for all of them.
func slowly(t *testing.T) *filter {
	t.Helper()
	f := &filter{}
	if err := f.compile("^slow-(a+)+$"); err != nil {
		t.Fatal(err)
	}
	f.regex.MatchTimeout = 1000 * matchTimeout // the bound of one name is not the matter here
	return f
}

// slowName takes an expression of this kind some 2^20 steps.
var slowName = "slow-" + strings.Repeat("a", 20) + "!"

// A group whose filter is slow looks up between names: whoever ends or changes it need not wait for a page of them. Nothing is passed over.
func TestASlowFilterDoesNotHoldItsGroup(t *testing.T) {
	t.Parallel()
	db, err := engine.Open(t.TempDir(), engine.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is written after the reads
	const n = 12
	for range n {
		e := engine.Event{ID: engine.ID(uuid.New()), Type: "Seen", JSON: true, Data: []byte("{}")}
		if _, err := db.Append(t.Context(), slowName, engine.ExpectAny, []engine.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	source := groupSource{db: db, cfg: &groupConfig{}, filter: slowly(t), next: 1}
	places, turns := 0, 0
	for end := false; !end; turns++ {
		var seen []sighting
		if seen, end, err = source.readAll(pageAtOnce); err != nil {
			t.Fatal(err)
		}
		for _, s := range seen {
			if places++; s.ref.At != uint64(places) {
				t.Fatalf("place %d follows on %d", s.ref.At, places-1)
			}
		}
	}
	if places != n || turns < 2 {
		t.Errorf("%d places in %d turns", places, turns)
	}
}

// A read that was cancelled matches no further name.
func TestACancelledReadIsNotMatchedFurther(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &call{Server: &Server{stopping: make(chan struct{})}, q: &query{filter: slowly(t)}, ctx: ctx}
	if _, err := c.shows(&engine.Record{Stream: "slow-a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
