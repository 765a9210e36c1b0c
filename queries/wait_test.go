package queries_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/queries"
)

func (w *world) token(ahead eventstore.Position) queries.Token {
	return queries.Token{Store: storeID, Position: w.position + ahead}
}

// running starts the listener; the returned function ends it.
func (w *world) running() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.queries.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

func TestAWaitIsWokenByTheCommitAndSeesTheRow(t *testing.T) {
	w := newWorld(t, time.Minute)
	defer w.running()()
	w.product("first")
	for range 20 {
		token := w.token(10)
		answered := make(chan error, 1)
		go func() {
			if err := w.queries.Wait(context.Background(), token, "products", "orders"); err != nil {
				answered <- err
				return
			}
			_, err := w.queries.Product(context.Background(), auth.Nobody(), "p"+token.String())
			answered <- err
		}()
		w.product("p" + token.String())
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWaitIsRightForReadModelsThatTheEventDoesNotConcern(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, time.Minute)
	defer w.running()()
	w.product("a")
	if err := w.queries.Wait(ctx, w.token(0), "customers", "sales"); err != nil {
		t.Fatal(err)
	}
	token := w.token(10)
	w.watermark()
	if err := w.queries.Wait(ctx, token, "orders"); err != nil {
		t.Fatal(err)
	}
}

func TestAWaitEndsWithATypedFaultThatTellsTheLag(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 30*time.Millisecond)
	defer w.running()()
	w.product("a")
	err := w.queries.Wait(ctx, w.token(70), "orders")
	if !errors.Is(err, queries.ErrBehind) || !strings.Contains(err.Error(), "70 positions behind") {
		t.Fatalf("got %v", err)
	}
	if err := w.queries.Wait(ctx, queries.Token{Store: "elsewhere", Position: 1}, "orders"); !errors.Is(err, queries.ErrToken) {
		t.Fatalf("a token of another store: %v", err)
	}
	for _, bad := range []string{"", "!", "e30", strings.Repeat("A", 1000)} {
		if _, err := queries.ParseToken(bad); !errors.Is(err, queries.ErrToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if back, err := queries.ParseToken(w.token(5).String()); err != nil || back != w.token(5) {
		t.Fatalf("%v, %v", back, err)
	}
}

func TestAPausedReadModelAnswersAtOnce(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, time.Hour)
	w.product("a")
	if err := w.projector.Pause(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := w.queries.Wait(ctx, w.token(10), "orders"); !errors.Is(err, queries.ErrPaused) {
		t.Fatalf("got %v", err)
	}
	if err := w.queries.Wait(ctx, w.token(0), "orders"); err != nil {
		t.Fatalf("what it has it answers: %v", err)
	}
}

func TestTheSignalIsHeardAgainAfterTheConnectionIsLost(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, time.Minute)
	defer w.running()()
	w.product("a")
	if err := w.queries.Wait(ctx, w.token(0), "products"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`); err != nil {
		t.Fatal(err)
	}
	token, answered := w.token(10), make(chan error, 1)
	go func() { answered <- w.queries.Wait(ctx, token, "products") }()
	w.product("b")
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestReadModelsTellHowFarTheyAre(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, 0)
	w.product("a")
	if err := w.projector.Pause(ctx, "sales"); err != nil {
		t.Fatal(err)
	}
	models, err := w.queries.ReadModels(ctx)
	if err != nil || len(models) != 9 || models[0].Name != "carts" || models[0].Status != "live" || models[0].Lag != 0 {
		t.Fatalf("%+v, %v", models, err)
	}
	for _, m := range models {
		if m.Name == "sales" && m.Status != "paused" {
			t.Fatalf("%+v", m)
		}
	}
}
