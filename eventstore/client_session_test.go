package eventstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Calls that the official client keeps waiting while it looks for a store that is silent: retiring the session must set
// every one of them free, with the fault that it is. Without guard this ends the process: "send on closed channel".
func TestRetiringASessionFreesWhoeverWaitsInsideIt(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test's listener
	c, err := Open("esdb://"+silent.Addr().String()+"?tls=false", Config{ConnectTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // returns nil always
	found := node{address: silent.Addr().String()}
	if found.conn, err = dial(c.target, found.address); err != nil {
		t.Fatal(err)
	}
	target := found.target(c.target, c.cfg)
	s := &session{owner: c, direct: found.conn}
	if s.official, err = esdb.NewClient(&target); err != nil {
		t.Fatal(err)
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)

	var entered, left sync.WaitGroup
	const callers = 50
	for range callers {
		entered.Add(1)
		left.Go(func() {
			_, err := guard(t.Context(), s, func() (*esdb.ReadStream, error) {
				entered.Done()
				return s.official.ReadStream(t.Context(), "order-1", esdb.ReadStreamOptions{}, 1)
			})
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	entered.Wait()
	conn, err := silent.Accept() // the official client is looking for the store now
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's connection
	c.retire(s, ErrUnavailable)
	left.Wait()
}
