package server_test

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

func TestConnectionsThatSayNothingAreGivenUp(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	half := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" // then the peer is gone: pings are not answered
	for name, text := range map[string]string{"silent from the start": "", "half-open": half, "in the midst of a frame": half + "\x00\x00\x10\x01"} {
		conn, err := net.Dial("tcp", store.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Errorf("%s: the connection is kept", name)
		}
		_ = conn.Close()
	}
}

func TestAHalfOpenSubscriberIsGivenUp(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	near, far := relay(t, store.Addr())
	c := plain(t, near, 1)[0]
	_ = live(t, within(t), c, request(subscribing))
	if store.Server().Calls() != 1 {
		t.Fatal("it does not subscribe")
	}
	far.freeze()
	for bound := within(t); store.Server().Calls() > 0; {
		if bound.Err() != nil {
			t.Fatal("it is kept")
		}
		runtime.Gosched()
	}
}

// A frozen cord takes what is sent and delivers nothing, as a machine does that lost its power.
type cord struct {
	mu     sync.Mutex
	frozen bool
}

func (w *cord) freeze() { w.mu.Lock(); defer w.mu.Unlock(); w.frozen = true }

func (w *cord) Write(p []byte, to io.Writer) (int, error) {
	w.mu.Lock()
	frozen := w.frozen
	w.mu.Unlock()
	if frozen {
		return len(p), nil
	}
	return to.Write(p)
}

type through struct {
	w  *cord
	to io.Writer
}

func (t through) Write(p []byte) (int, error) { return t.w.Write(p, t.to) }

func relay(t *testing.T, target string) (address string, w *cord) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &cord{}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	all.Go(func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			return
		}
		t.Cleanup(func() { _ = near.Close() })
		all.Go(func() { _, _ = io.Copy(through{w, near}, far); _ = far.Close() })
		_, _ = io.Copy(through{w, far}, near)
		_ = far.Close()
	})
	return listener.Addr().String(), w
}
