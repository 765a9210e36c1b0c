package projections_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/projections"
)

// Seeded schedules of what goes wrong: batches twice, batches that overlap, stale ones, a projector killed between its
// statements, connections cut by the server, two projectors at once. After each the tables must equal a rebuild from zero, with as
// many events counted. ANNAL_SCHEDULES says how many.
func TestExactlyOnceUnderSeededSchedules(t *testing.T) {
	t.Parallel()
	schedules := 60
	if n, err := strconv.Atoi(os.Getenv("ANNAL_SCHEDULES")); err == nil {
		schedules = n
	}
	const histories = 4
	for k := range histories {
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			t.Parallel()
			h := shop(t, seeded(uint64(k)), 10)
			want := rebuilt(t, h)
			slate := slateOf(t, database(t), all(t))
			for i := range schedules / histories {
				s := &schedule{h: h, r: seeded(uint64(1000*k + i)), owner: slate.owner, pool: slate.pool}
				s.run(t)
				slate.owner.Reset() // two that cut connections at once cut each other's
				if diff := cmp.Diff(want, tables(t, slate.owner, all(t))); diff != "" {
					t.Fatalf("schedule %d:\n%s", i, diff)
				}
				slate.wipe(t)
			}
		})
	}
}

var errKilled = errors.New("killed")

type schedule struct {
	h     *history
	owner *pgxpool.Pool
	pool  *pgxpool.Pool // in the projector's role, shared by all projectors

	mu sync.Mutex // guards r: failpoints of two projectors draw from it
	r  *rand.Rand
}

func (s *schedule) n(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

// fail is what befalls a projector at a failpoint.
func (s *schedule) fail(string) error {
	switch s.n(12) {
	case 0:
		return errKilled
	case 1:
		// The connections die under the projector; the next statement finds out.
		_, err := s.owner.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		return err
	}
	return nil
}

func (s *schedule) run(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	for range 25 {
		var wg sync.WaitGroup
		for range 1 + s.n(2) {
			p := projectorOn(t, s.pool, s.h, projections.Config{Failpoint: s.fail}) // each its own process
			wg.Go(func() { s.live(ctx, p) })
		}
		wg.Wait()
	}
	if err := projectorOn(t, s.pool, s.h, projections.Config{}).RunToEnd(ctx); err != nil {
		t.Fatal(err)
	}
}

// live applies a few batches as a feed does, and some as a broken feed would.
func (s *schedule) live(ctx context.Context, p *projections.Projector) {
	at, err := p.Checkpoint(ctx)
	if err != nil {
		return
	}
	for range 1 + s.n(4) {
		from := at.Position
		if s.n(3) == 0 { // a delivery from before
			from -= min(from, eventstore.Position(10*s.n(30)))
		}
		to := min(from+eventstore.Position(1+s.n(400)), s.h.head())
		b := s.h.batch(from, to, p.Categories())
		for range 1 + s.n(2) {
			err = p.Apply(ctx, b)
		}
		if errors.Is(err, errKilled) {
			return
		}
		if err != nil {
			if at, err = p.Checkpoint(ctx); err != nil {
				return
			}
			continue
		}
		at = feed.Checkpoint{Position: max(at.Position, to)}
	}
}
