package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/annalhq/annal/eventstore/engine"
)

// varied fills a store with streams that were limited, deleted, ended and scavenged, and leaves some that a scavenge would find.
func varied(t *testing.T, db *engine.DB, n int) {
	t.Helper()
	ctx := context.Background()
	serial := uint64(1000)
	fill := func(stream string, events int) {
		for range events {
			serial++
			mustAppend(t, db, stream, engine.ExpectAny, event(serial))
		}
	}
	describe := func(stream, metadata string) {
		serial++
		e := event(serial)
		e.Type, e.Data = engine.MetadataType, []byte(metadata)
		mustAppend(t, db, "$$"+stream, engine.ExpectAny, e)
	}
	for i := range n {
		fill(fmt.Sprintf("plain-%d", i), 7)
		fill(fmt.Sprintf("short-%d", i), 5)
		describe(fmt.Sprintf("short-%d", i), `{"$maxCount":2}`)
		fill(fmt.Sprintf("soft-%d", i), 4)
		fill(fmt.Sprintf("ended-%d", i), 4)
		describe(fmt.Sprintf("ended-%d", i), `{"$tb":1}`)
		if _, err := db.Delete(ctx, fmt.Sprintf("soft-%d", i), engine.ExpectAny); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Tombstone(ctx, fmt.Sprintf("ended-%d", i), engine.ExpectAny); err != nil {
			t.Fatal(err)
		}
		fill(fmt.Sprintf("soft-%d", i), i%2)
		if i == n/2 {
			scavenge(t, db)
		}
	}
}

func scavenge(t *testing.T, db *engine.DB) engine.Scavenged {
	t.Helper()
	done, err := db.Scavenge(context.Background(), engine.ScavengeConfig{Rate: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func verify(t *testing.T, db *engine.DB) engine.Verified {
	t.Helper()
	v, err := db.Verify(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	v.Derived = 0 // the index of links follows by itself
	return v
}

// A key dropped, a byte of a value flipped, two values exchanged or a stray key: below Pebble's checksums, so only we can notice
// (invariant 7). Verify finds each, and names where.
func TestVerifyFindsPlantedDamage(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	dir := t.TempDir()
	db := open(t, dir, engine.Config{})
	varied(t, db, 6)
	whole := verify(t, db)
	if whole.Scavenged == 0 || whole.Events+whole.Scavenged != uint64(whole.Position) || whole.Streams < 30 {
		t.Fatalf("%+v", whole)
	}
	raw := db.Pebble()
	var keys, values [][]byte
	it, err := raw.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[0] == 'l' { // derived: their readers find damage (linkdamage_test.go), Verify does not
			continue
		}
		keys, values = append(keys, append([]byte(nil), it.Key()...)), append(values, append([]byte(nil), it.Value()...))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	named := 0
	for round := range rounds {
		i, j := rng.IntN(len(keys)), rng.IntN(len(keys))
		damage := map[string][]byte{}
		what := ""
		switch rng.IntN(4) {
		case 0:
			what, damage[string(keys[i])] = fmt.Sprintf("without %q", keys[i]), nil
		case 1:
			flipped := append([]byte(nil), values[i]...)
			at := rng.IntN(len(flipped))
			flipped[at] ^= 1 << rng.IntN(8)
			what, damage[string(keys[i])] = fmt.Sprintf("byte %d of %q flipped", at, keys[i]), flipped
		case 2:
			for string(values[i]) == string(values[j]) {
				j = rng.IntN(len(keys))
			}
			what, damage[string(keys[i])], damage[string(keys[j])] = fmt.Sprintf("%q and %q exchanged", keys[i], keys[j]), values[j], values[i]
		case 3:
			stray := engine.AppendStreamKey(nil, engine.Position(1+rng.IntN(9)), engine.Revision(200+rng.IntN(9)))
			what, damage[string(stray)] = fmt.Sprintf("a stray %q", stray), values[i]
		}
		plant := func(m map[string][]byte) {
			for k, v := range m {
				var err error
				if v == nil {
					err = raw.Delete([]byte(k), nil)
				} else {
					err = raw.Set([]byte(k), v, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		plant(damage)
		_, err := db.Verify(context.Background(), nil)
		if !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("round %d: %s: %v", round, what, err)
		} else if strings.Contains(err.Error(), "at position ") {
			named++
		}
		repair := map[string][]byte{}
		for k := range damage {
			repair[k] = nil
			for n := range keys {
				if string(keys[n]) == k {
					repair[k] = values[n]
				}
			}
		}
		plant(repair)
	}
	if again := verify(t, db); again != whole {
		t.Errorf("%+v became %+v", whole, again)
	}
	t.Logf("%d damages found, %d with their position", rounds, named)
}

// Flipped bytes and cut files of a closed store: Verify finds them, or the store refuses to open, or nothing has changed.
func TestVerifyFindsDamagedFiles(t *testing.T) {
	fs := vfs.NewMem()
	db := openMem(t, fs)
	varied(t, db, 10)
	whole := verify(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pristine := map[string][]byte{}
	files(t, fs, "store", pristine)
	rng := rand.New(rand.NewPCG(3, 5))
	found, harmless := 0, 0
	for path, data := range pristine {
		for range 25 {
			if len(data) == 0 {
				continue
			}
			damaged := map[string][]byte{}
			for p, d := range pristine {
				damaged[p] = d
			}
			at := rng.IntN(len(data))
			what := "cut"
			damaged[path] = data[:at]
			if rng.IntN(2) == 0 {
				what, damaged[path] = "flipped", append([]byte(nil), data...)
				damaged[path][at] ^= 1 << rng.IntN(8)
			}
			db, err := engine.Open("store", engine.Config{FS: restore(t, damaged), Logger: slog.New(slog.DiscardHandler), Fatal: func(err error) { panic(err) }})
			if err != nil {
				found++
				continue
			}
			got, err := db.Verify(context.Background(), nil)
			got.Derived = 0
			switch {
			case err != nil:
				found++
			case got == whole:
				harmless++
			default:
				t.Errorf("%s, byte %d %s: %+v instead of %+v, and no error", path, at, what, got, whole)
			}
			if err := db.Close(); err != nil {
				t.Log(err)
			}
		}
	}
	if found == 0 {
		t.Error("nothing was found")
	}
	t.Logf("%d damages found, %d harmless", found, harmless)
}

// A verification beside writers checks what was readable when it began, and finds nothing.
func TestVerifyBesideWriters(t *testing.T) {
	db := open(t, t.TempDir(), engine.Config{})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		for n := uint64(0); ctx.Err() == nil; n++ {
			e := event(n)
			binary.BigEndian.PutUint64(e.ID[:], n)
			if _, err := db.Append(context.Background(), fmt.Sprintf("w-%d", n%50), engine.ExpectAny, []engine.Event{e}); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for range 20 {
		if v := verify(t, db); v.Events != uint64(v.Position) {
			t.Errorf("%+v", v)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
