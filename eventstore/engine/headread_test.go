package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/annalhq/annal/eventstore/engine"
)

// A stream's head is read from as many blocks in a large log as in a small one: what a larger log costs is only that fewer of them are in the
// cache. BenchmarkLarge tells the same of ten million events, with times.
func TestTheHeadOfAStreamIsReadFromAsManyBlocksInALargerLog(t *testing.T) {
	t.Parallel()
	const atMost = 24 // three look-ups, each with an index and a data block in a few levels
	small, large := blocksOfAHead(t, 10_000), blocksOfAHead(t, 200_000)
	t.Logf("%.1f blocks a head in 10,000 events, %.1f in 200,000", small, large)
	if small < 3 || large > atMost || large > 2*small {
		t.Errorf("%.1f blocks a head in 10,000 events, %.1f in 200,000; at most %d and twice are allowed", small, large, atMost)
	}
}

func blocksOfAHead(t *testing.T, events int) float64 {
	t.Helper()
	dir, cfg := t.TempDir(), engine.Config{MemTableBytes: 1 << 20}
	fillLog(t, dir, events, cfg)
	db := open(t, dir, cfg)
	engine.Flush(t, db)
	const reads = 500
	rng := rand.New(rand.NewPCG(5, 6))
	before := engine.Blocks(db)
	for range reads {
		readHead(t, db, rng.IntN(events/largeStream))
	}
	return float64(engine.Blocks(db)-before) / reads
}
