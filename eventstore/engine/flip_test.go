package engine_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/internal/fault"
)

var flipEvery = flag.Int("flips", 80, "TestFlippedBytesAreDetectedOrHarmless flips one of so many bytes; 1: each")

// contents is what a reader gets out of a store.
type contents struct {
	log     []engine.Record
	streams []engine.Record
}

func (c contents) equal(o contents) bool {
	return slices.EqualFunc(c.log, o.log, sameRecord) && slices.EqualFunc(c.streams, o.streams, sameRecord)
}

// readable opens the store and reads all of it, log and streams; the first error wins.
func readable(fs vfs.FS) (all contents, err error) {
	db, err := openSmall(fs)
	if err != nil {
		return contents{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for from := engine.Position(1); ; {
		page, err := db.ReadAll(from, engine.Forwards, 512)
		if err != nil {
			return contents{}, err
		}
		all.log = append(all.log, page.Records...)
		if from = page.Next; page.End {
			break
		}
	}
	for i := range flipStreams {
		page, err := db.ReadStream(fmt.Sprintf("s-%d", i), 0, engine.Forwards, 512)
		if err != nil && !errors.Is(err, engine.ErrStreamMissing) {
			return contents{}, err
		}
		all.streams = append(all.streams, page.Records...)
	}
	return all, nil
}

const flipStreams = 8

// grownStore returns the disk of a small store with flushed tables and, unless it was closed, a write-ahead log with synced events.
func grownStore(t *testing.T, closed bool) map[string][]byte {
	t.Helper()
	fs := vfs.NewCrashableMem()
	db := openMem(t, fs)
	for i := range uint64(120) {
		if i == 70 {
			engine.Flush(t, db)
		}
		mustAppend(t, db, fmt.Sprintf("s-%d", i%flipStreams), engine.ExpectAny, event(i))
	}
	if !closed {
		engine.RaiseFloor(db)
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	files(t, fs, "store", all)
	return all
}

// harm is one way of damaging a file.
type harm struct {
	name string
	do   func(rng *rand.Rand, data []byte, at int) []byte
}

func harms() []harm {
	return []harm{
		{"a bit flipped", func(rng *rand.Rand, data []byte, at int) []byte {
			data = slices.Clone(data)
			data[at] ^= 1 << rng.IntN(8)
			return data
		}},
		{"cut short", func(_ *rand.Rand, data []byte, at int) []byte { return data[:at] }},
	}
}

// TestFlippedBytesAreDetectedOrHarmless flips bits all over a small store, and cuts its files short (invariant 7). Each time the store must
// refuse with a typed fault, or give everything byte for byte; when the store was closed, and when the power went a second after the last append.
//
//	go test -run FlippedBytes -v ./eventstore/engine -args -flips 1
func TestFlippedBytesAreDetectedOrHarmless(t *testing.T) {
	for _, closed := range []bool{true, false} {
		state := map[bool]string{true: "closed", false: "after a power cut"}[closed]
		pristine := grownStore(t, closed)
		want, err := readable(restore(t, pristine))
		if err != nil || len(want.log) != 120 || len(want.streams) != 120 {
			t.Fatal(len(want.log), len(want.streams), err)
		}
		for _, h := range harms() {
			rng := rand.New(rand.NewPCG(1, 5))
			seen := outcomes{}
			for _, path := range slices.Sorted(maps.Keys(pristine)) {
				data := pristine[path]
				every := max(1, min(*flipEvery, len(data)/8))
				if testing.Short() {
					every = max(1, len(data)/4)
				}
				for at := rng.IntN(every); at < len(data); at += 1 + rng.IntN(2*every-1) {
					damaged := maps.Clone(pristine)
					damaged[path] = h.do(rng, data, at)
					got, err := readable(restore(t, damaged))
					outcome := judgeDamage(want, got, err)
					if seen.add(fileKind(path), outcome); strings.HasPrefix(outcome, "WRONG") {
						t.Errorf("%s, %s at byte %d of %d: %s", path, h.name, at, len(data), outcome)
					}
				}
			}
			t.Logf("store %s, files with %s:\n%s", state, h.name, seen.table())
			for _, kind := range []string{"floor", "manifest", "mark", "table"} {
				if len(seen[kind]) == 0 {
					t.Errorf("no file of kind %s was damaged", kind)
				}
			}
			if !closed && len(seen["wal"]) == 0 {
				t.Error("no write-ahead log was damaged")
			}
		}
	}
}

func judgeDamage(want, got contents, err error) string {
	var f *fault.Error
	switch {
	case err != nil && errors.As(err, &f) && f.Code != "":
		return "refused with " + f.Code
	case err != nil:
		return "WRONG: an error without a type: " + err.Error()
	case got.equal(want):
		return "harmless"
	}
	return fmt.Sprintf("WRONG: %d of %d records and no error", len(got.log), len(want.log))
}

// outcomes counts by kind of file and outcome.
type outcomes map[string]map[string]int

func (o outcomes) add(kind, outcome string) {
	if o[kind] == nil {
		o[kind] = map[string]int{}
	}
	o[kind][outcome]++
}

func (o outcomes) table() string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(o)) {
		fmt.Fprintf(&b, "  %-9s", kind)
		for _, outcome := range slices.Sorted(maps.Keys(o[kind])) {
			fmt.Fprintf(&b, "  %s: %d", outcome, o[kind][outcome])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
