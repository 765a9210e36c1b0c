package testenv_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/annalhq/annal/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestADatabaseIsFreshAndGoneAfterwards(t *testing.T) {
	var url string
	t.Run("inside", func(t *testing.T) {
		url = testenv.Postgres(t)
		exec(t, url, `CREATE TABLE mine (x int)`)
		exec(t, testenv.Postgres(t), `CREATE TABLE mine (x int)`)
	})
	if conn, err := pgx.Connect(context.Background(), url); err == nil {
		t.Errorf("the database outlives its test: %v", conn.Close(context.Background()))
	}
}

func TestATemplateIsMigratedOnceAndCloned(t *testing.T) {
	var migrated atomic.Int32
	name := "t" + strconv.FormatInt(time.Now().UnixNano()%1e9, 36) // else the last run's template would do
	migrate := func(url string) error {
		migrated.Add(1)
		conn, err := pgx.Connect(context.Background(), url) // left open on purpose: testenv ends it
		if err != nil {
			return err
		}
		_, err = conn.Exec(context.Background(), `CREATE TABLE seeded AS SELECT 7 AS x`)
		return err
	}
	t.Run("parallel", func(t *testing.T) {
		for i := range 6 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				exec(t, testenv.PostgresFrom(t, name, migrate), `UPDATE seeded SET x = 8 WHERE x = 7`)
			})
		}
	})
	if n := migrated.Load(); n != 1 {
		t.Fatalf("migrated %d times", n)
	}
}

func TestAVirtualHostIsFreshAndGoneAfterwards(t *testing.T) {
	var url string
	t.Run("inside", func(t *testing.T) {
		url = testenv.RabbitMQ(t)
		conn, err := amqp.Dial(url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			t.Fatal(err)
		}
	})
	if conn, err := amqp.Dial(url); err == nil {
		t.Errorf("the virtual host outlives its test: %v", conn.Close())
	}
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}
