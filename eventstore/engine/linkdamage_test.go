package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/annalhq/annal/eventstore/engine"
)

// tamper changes a closed store's keys below our own checksums.
func tamper(t *testing.T, dir string, change func(p *pebble.DB) error) {
	t.Helper()
	p, err := engine.OpenBare(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(p), p.Flush(), p.Close()); err != nil {
		t.Fatal(err)
	}
}

func linkKey(stream string, r engine.Revision) []byte {
	return binary.BigEndian.AppendUint64(engine.AppendLinkPrefix(nil, stream), uint64(r))
}

// linkedStore is a closed store: order-1 and cart-1 in turns, ten events of each, at odd and even positions.
func linkedStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db := open(t, dir, engine.Config{})
	for n := range uint64(20) {
		mustAppend(t, db, [...]string{"order-1", "cart-1"}[n%2], engine.ExpectAny, event(n))
	}
	linked(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// One block a stream, so that tests know where the borders are: the pace at which links were found decides it otherwise.
	tamper(t, dir, func(p *pebble.DB) error {
		if err := p.DeleteRange([]byte("l"), []byte("m"), pebble.Sync); err != nil {
			return err
		}
		return p.Set([]byte("l"), engine.AppendLinkMark(nil, 0), pebble.Sync)
	})
	db = open(t, dir, engine.Config{})
	linked(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func readAllLinks(db *engine.DB, stream string, dir engine.Direction) error {
	from := engine.Revision(0)
	if dir == engine.Backwards {
		from = engine.LastRevision
	}
	for {
		page, err := db.ReadStream(stream, from, dir, 2)
		if err != nil || page.End {
			return err
		}
		from = page.Next
	}
}

// TestDamagedLinksAreNoticedAndCured damages the index in ways that Pebble can't notice: every read says so or is right, the log is
// unharmed, and building the index anew cures it.
func TestDamagedLinksAreNoticedAndCured(t *testing.T) {
	orders := []engine.Position{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}
	block := func(r engine.Revision, positions ...engine.Position) func(p *pebble.DB) error {
		return func(p *pebble.DB) error {
			key := linkKey("$ce-order", r)
			return p.Set(key, engine.AppendLinkBlock(nil, key, positions), pebble.Sync)
		}
	}
	for name, change := range map[string]func(p *pebble.DB) error{
		"a flipped bit": func(p *pebble.DB) error {
			key := linkKey("$ce-order", 0)
			value := engine.AppendLinkBlock(nil, key, orders)
			value[len(value)-1] ^= 1
			return p.Set(key, value, pebble.Sync)
		},
		"another stream's block": func(p *pebble.DB) error {
			return p.Set(linkKey("$ce-order", 0), engine.AppendLinkBlock(nil, linkKey("$ce-cart", 0), orders), pebble.Sync)
		},
		"events of another category": block(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20),
		"one event of another":       block(0, 1, 3, 5, 6, 9, 11, 13, 15, 17, 19),
		"positions behind the log":   block(0, 101, 103, 105, 107, 109, 111, 113, 115, 117, 119),
		"a block that is too short":  func(p *pebble.DB) error { return errors.Join(block(0, 1, 3, 5)(p), block(5, 11, 13, 15)(p)) },
		"a block that is too long":   block(5, 11, 13, 15, 17, 19),
		"blocks that don't rise":     func(p *pebble.DB) error { return errors.Join(block(0, 1, 3, 5, 7, 9)(p), block(5, 9, 11, 13)(p)) },
		"a stream without its start": func(p *pebble.DB) error {
			return errors.Join(p.Delete(linkKey("$ce-order", 0), pebble.Sync), block(5, 11, 13)(p))
		},
		"a value that is no block": func(p *pebble.DB) error { return p.Set(linkKey("$ce-order", 0), []byte("x"), pebble.Sync) },
		"a key that is no block's": func(p *pebble.DB) error { return p.Set(append(linkKey("$ce-order", 9), 1), []byte("x"), pebble.Sync) },
		"a block without positions": func(p *pebble.DB) error {
			return p.Set(linkKey("$ce-order", 9), engine.AppendLinkBlock(nil, linkKey("$ce-order", 9), nil), pebble.Sync)
		},
		"a damaged block at the end ": func(p *pebble.DB) error { return p.Set(linkKey("$ce-order", 10), []byte("xxxxxxxx"), pebble.Sync) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := linkedStore(t)
			tamper(t, dir, change)
			db := open(t, dir, engine.Config{})
			for _, direction := range []engine.Direction{engine.Forwards, engine.Backwards} {
				if err := readAllLinks(db, "$ce-order", direction); !errors.Is(err, engine.ErrCorrupt) {
					t.Errorf("backwards %v: %v", direction, err)
				}
			}
			if err := readAllLinks(db, "$ce-cart", engine.Forwards); err != nil {
				t.Errorf("the other stream: %v", err)
			}
			mustAppend(t, db, "order-1", 9, event(100))
			if err := db.RebuildLinks(); err != nil {
				t.Fatal(err)
			}
			linked(t, db)
			checkLinks(t, db, everything(t, db), map[aLink]engine.ID{}, smallPages)
		})
	}
}

// TestAnIndexThatCannotBeTrustedIsBuiltAnew opens stores whose mark is missing, as in directories of older programs, damaged, of another
// version, or ahead of the log.
func TestAnIndexThatCannotBeTrustedIsBuiltAnew(t *testing.T) {
	mark := func(b []byte) func(p *pebble.DB) error {
		return func(p *pebble.DB) error { // what was there before must not shine through
			key := linkKey("$ce-order", 0)
			return errors.Join(p.Set([]byte("l"), b, pebble.Sync), p.Set(key, engine.AppendLinkBlock(nil, key, []engine.Position{2}), pebble.Sync))
		}
	}
	other := engine.AppendLinkMark(nil, 20)
	other[0]++
	for name, change := range map[string]func(p *pebble.DB) error{
		"none":            func(p *pebble.DB) error { return p.DeleteRange([]byte("l"), []byte("m"), pebble.Sync) },
		"only the mark":   func(p *pebble.DB) error { return errors.Join(mark(nil)(p), p.Delete([]byte("l"), pebble.Sync)) },
		"damaged":         mark([]byte("xxxxxxxxxxxxx")),
		"another version": mark(other),
		"ahead":           mark(engine.AppendLinkMark(nil, 21)),
	} {
		t.Run(name, func(t *testing.T) {
			dir := linkedStore(t)
			tamper(t, dir, change)
			db := open(t, dir, engine.Config{})
			mustAppend(t, db, "order-1", 9, event(100))
			linked(t, db)
			checkLinks(t, db, everything(t, db), map[aLink]engine.ID{}, smallPages)
		})
	}
}

// TestLinksOfAnOldStoreAreBuiltInTheBackground opens a larger store without an index, appends at once, and watches the memory.
func TestLinksOfAnOldStoreAreBuiltInTheBackground(t *testing.T) {
	const events = 50_000
	dir := t.TempDir()
	small := engine.Config{CacheBytes: 1 << 20, MemTableBytes: 1 << 20}
	db := open(t, dir, engine.WithoutLinks(small))
	var batch []engine.Event
	for n := range uint64(events) {
		if batch = append(batch, event(n)); len(batch) == 500 {
			mustAppend(t, db, fmt.Sprintf("order-%d", n%7), engine.ExpectAny, batch...)
			batch = nil
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, dir, func(p *pebble.DB) error { return p.DeleteRange([]byte("l"), []byte("m"), pebble.Sync) })
	before := heap()
	db = open(t, dir, small)
	mustAppend(t, db, "order-new", engine.ExpectNoStream, event(events))
	linked(t, db)
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the memory grew by %d bytes", grown)
	}
	page, err := db.ReadStream("$ce-order", engine.LastRevision, engine.Backwards, 1)
	if err != nil || page.Last != events || string(page.Records[0].Data) != "0@order-new" {
		t.Errorf("%+v %v", page, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, dir, func(p *pebble.DB) error { return smallLinks(t, p) })
}

// smallLinks wants blocks of a bounded size: a look at the log must not be as large as the log.
func smallLinks(t *testing.T, p *pebble.DB) error {
	it, err := p.NewIter(&pebble.IterOptions{LowerBound: []byte("l"), UpperBound: []byte("m")})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if len(it.Value()) > 4<<10 {
			t.Errorf("a block has %d bytes", len(it.Value()))
		}
	}
	return it.Close()
}

// TestLinksThatCannotGoOnSaySo damages the block that new links must follow: appends succeed, and whoever waits for links is told.
func TestLinksThatCannotGoOnSaySo(t *testing.T) {
	dir := linkedStore(t)
	tamper(t, dir, func(p *pebble.DB) error { return p.Set(linkKey("$et-tested.v1", 0), []byte("x"), pebble.Sync) })
	db := open(t, dir, engine.Config{})
	changed := db.WatchStream("$ce-order")
	mustAppend(t, db, "order-1", 9, event(100))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.WaitLinked(ctx, db.Last()); !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
	<-changed
	page, err := db.ReadStream("$ce-order", 0, engine.Forwards, 5)
	if err != nil || len(page.Records) != 5 {
		t.Errorf("what is whole: %v", err)
	}
	if err := readAllLinks(db, "$ce-order", engine.Forwards); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("the end: %v", err)
	}
	if err := db.RebuildLinks(); err != nil {
		t.Fatal(err)
	}
	linked(t, db)
	checkLinks(t, db, everything(t, db), map[aLink]engine.ID{}, smallPages)
}

// TestLinksStopAtADamagedRecord damages the log: the links before it stay readable, and nobody hears that these are all.
func TestLinksStopAtADamagedRecord(t *testing.T) {
	dir := linkedStore(t)
	tamper(t, dir, func(p *pebble.DB) error {
		return errors.Join(p.DeleteRange([]byte("l"), []byte("m"), pebble.Sync), p.Set(engine.AppendEventKey(nil, 12), []byte("x"), pebble.Sync)) // an event of cart-1
	})
	db := open(t, dir, engine.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := db.WaitLinked(ctx, 20); !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
	page, err := db.ReadStream("$ce-order", 0, engine.Forwards, 5)
	if err != nil || len(page.Records) != 5 {
		t.Errorf("what is before it: %v", err)
	}
	for _, stream := range []string{"$ce-order", "$ce-never"} {
		if err := readAllLinks(db, stream, engine.Forwards); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%s: %v", stream, err)
		}
	}
}

func FuzzLinkBlock(f *testing.F) {
	f.Add([]byte("key"), engine.AppendLinkBlock(nil, []byte("key"), []engine.Position{1, 2, 300}), uint64(1), uint64(5), uint64(1)<<63)
	f.Add([]byte{}, []byte{}, uint64(0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, key, raw []byte, a, b, c uint64) {
		if got, err := engine.DecodeLinkBlock(nil, key, raw); err == nil && !slices.IsSorted(got) {
			t.Error("positions don't rise")
		}
		positions := []engine.Position{engine.Position(a), engine.Position(b), engine.Position(c)}
		slices.Sort(positions)
		positions = slices.Compact(positions)
		got, err := engine.DecodeLinkBlock(nil, key, engine.AppendLinkBlock(nil, key, positions))
		if positions[0] == 0 {
			if err == nil {
				t.Error("position 0 passes")
			}
			return
		}
		if err != nil || !slices.Equal(got, positions) {
			t.Errorf("%v became %v, %v", positions, got, err)
		}
	})
}
