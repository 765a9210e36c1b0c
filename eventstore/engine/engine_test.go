package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/annalhq/annal/eventstore/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, cfg engine.Config) *engine.DB {
	t.Helper()
	db, err := engine.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// event makes an event whose id and data come from n.
func event(n uint64) engine.Event {
	e := engine.Event{Type: "tested.v1", JSON: true, Metadata: []byte(`{"n":1}`)}
	binary.BigEndian.PutUint64(e.ID[8:], n+1)
	e.Data = binary.AppendUvarint([]byte("payload "), n)
	return e
}

func mustAppend(t testing.TB, db *engine.DB, stream string, x engine.Expected, events ...engine.Event) engine.Appended {
	t.Helper()
	a, err := db.Append(context.Background(), stream, x, events)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAppendedEventsSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, engine.Config{})
	a := mustAppend(t, db, "order-1", engine.ExpectNoStream, event(1), event(2))
	if a.Position != 2 || a.Revision != 1 {
		t.Fatalf("%+v", a)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ReadAll(0, engine.Forwards, 10); !errors.Is(err, engine.ErrClosed) {
		t.Fatal(err)
	}
	db = open(t, dir, engine.Config{})
	b := mustAppend(t, db, "order-1", 1, event(3))
	if b.Position != 3 || b.Revision != 2 {
		t.Fatalf("%+v", b)
	}
	page, err := db.ReadStream("order-1", 0, engine.Forwards, 10)
	if err != nil || len(page.Records) != 3 || !page.End || string(page.Records[2].Data) != string(event(3).Data) {
		t.Fatalf("%+v %v", page, err)
	}
	if r := page.Records[0]; r.Rest != 1 || r.Position != 1 || r.Type != "tested.v1" || r.ID != event(1).ID {
		t.Fatalf("%+v", r)
	}
}

func TestExactRepeatIsAnsweredFromTheStore(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, engine.Config{})
	first := mustAppend(t, db, "s", engine.ExpectNoStream, event(1), event(2))
	mustAppend(t, db, "s", 1, event(3))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, engine.Config{})
	for _, x := range []engine.Expected{engine.ExpectNoStream, engine.ExpectAny, engine.ExpectExists} {
		if again := mustAppend(t, db, "s", x, event(1), event(2)); again != first {
			t.Errorf("expected %d: %+v, want %+v", x, again, first)
		}
	}
	for name, events := range map[string][]engine.Event{
		"other first":  {event(9)},
		"other second": {event(1), event(9)},
		"none":         {},
	} {
		var re *engine.RevisionError
		if _, err := db.Append(context.Background(), "s", engine.ExpectNoStream, events); !errors.As(err, &re) || re.Current != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if db.Last() != 3 {
		t.Fatalf("something was written: %d", db.Last())
	}
}

func TestDirectoriesThatAreNotOurs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(dir, engine.Config{}); !errors.Is(err, engine.ErrForeignDirectory) {
		t.Fatal(err)
	}
	dir = t.TempDir()
	db := open(t, dir, engine.Config{})
	if _, err := engine.Open(dir, engine.Config{}); !errors.Is(err, engine.ErrLocked) {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(dir, "ANNAL-EVENTSTORE")
	if err := os.WriteFile(marker, []byte("annal event store, format 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(dir, engine.Config{}); !errors.Is(err, engine.ErrNewerFormat) {
		t.Fatal(err)
	}
	if err := os.WriteFile(marker, []byte("annxl event store, format 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(dir, engine.Config{}); !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
}
