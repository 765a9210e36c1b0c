package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annalhq/annal/internal/fault"
)

// lease is the leader's lock: a session advisory lock on a connection of its own. The server gives it back when the
// session ends: at once if the process dies, after 15 s if the network swallows it (idle_session_timeout; we ping more often).
type lease struct {
	conn *pgx.Conn
}

var errLeaseLost = fault.New(fault.Unavailable, "RELAY_LEASE_LOST", "the relay's lock in Postgres is lost; it waits for it again")

// acquire waits for the lock, however long another relay leads.
func (r *Relay) acquire(ctx context.Context) (*lease, error) {
	pooled, err := r.pool.Acquire(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	l := &lease{conn: pooled.Hijack()} // it lives as long as leadership: not the pool's to recycle
	for _, sql := range []string{
		`SET statement_timeout = 0`, `SET lock_timeout = 0`,
		`SET idle_session_timeout = '15s'`,
		`SET tcp_keepalives_idle = 5`, `SET tcp_keepalives_interval = 5`, `SET tcp_keepalives_count = 2`,
		`SELECT pg_advisory_lock(hashtextextended('annal relay', 0))`,
	} {
		if _, err := l.conn.Exec(ctx, sql); err != nil {
			l.release()
			return nil, unavailable(err)
		}
	}
	return l, nil
}

// watch returns when the lock is lost, or nil when ctx ends.
func (l *lease) watch(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		ping, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := l.conn.Exec(ping, `SELECT 1`)
		cancel()
		if err != nil && ctx.Err() == nil {
			return errLeaseLost
		}
	}
}

func (l *lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // the server ends the session, and the lock with it, sooner or later
}

func unavailable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "POSTGRES_UNAVAILABLE", "PostgreSQL does not answer; try again")
}
