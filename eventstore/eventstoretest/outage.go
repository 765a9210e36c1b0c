package eventstoretest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/annalhq/annal/eventstore"
)

func outageCases() []testCase {
	return []testCase{
		{"a subscription survives outages", (*store).subscriptionSurvives},
		{"an append survives a broken connection", (*store).appendSurvives},
		{"calls are refused while the store is away, and work when it is back", (*store).comesBack},
		{"closing the client ends what it does", (*store).closing},
	}
}

// A cable is a connection to the store that can be cut: a TCP proxy.
type cable struct {
	s      *store
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

// cable returns a cable and the URL to reach the store through it.
func (s *store) cable() (*cable, string) {
	s.Helper()
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "esdb" || u.Query().Get("tls") != "false" && u.Hostname() != "127.0.0.1" {
		s.Skip("needs a single node, without TLS or with a certificate for 127.0.0.1")
	}
	c := &cable{s: s, target: u.Host, addr: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
	c.mend()
	s.Cleanup(func() { c.cut(); c.wg.Wait() })
	u.Host = c.addr
	return c, u.String()
}

// mend lets connections through.
func (c *cable) mend() {
	c.s.Helper()
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		c.s.Fatal(err)
	}
	c.mu.Lock()
	c.listener, c.addr = listener, listener.Addr().String()
	c.mu.Unlock()
	c.wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", c.target)
			if err != nil {
				_ = near.Close()
				continue
			}
			c.join(near, far)
		}
	})
}

func (c *cable) join(near, far net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[near], c.conns[far] = struct{}{}, struct{}{}
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		c.wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = way[0].Close(), way[1].Close()
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.conns, way[0])
			delete(c.conns, way[1])
		})
	}
}

// cut breaks all connections and refuses new ones.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.listener.Close()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (s *store) subscriptionSurvives() {
	cable, cut := s.cable()
	through := s.client(cut, eventstore.Config{Patience: time.Second})
	before := s.head()
	var wg sync.WaitGroup
	total := s.writers(&wg, s.Client, 4, 150)
	seen := 0
	got := s.follow(through, before, eventstore.Filter{}, total, func(i eventstore.Item) {
		if i.Event == nil {
			return
		}
		if seen++; seen%400 == 100 { // three outages
			cable.cut()
			cable.mend()
		}
	})
	wg.Wait()
	s.increasing(got)
	s.sameIDs(got, s.all(s.ReadAll(s.ctx, before, eventstore.Filter{})))
}

func (s *store) appendSurvives() {
	cable, cut := s.cable()
	through := s.client(cut, eventstore.Config{})
	stream, list := s.stream(eventstore.Order), events(40)
	for i := range list {
		if i%10 == 5 {
			cable.cut()
			cable.mend()
		}
		if _, err := through.Append(s.ctx, stream, eventstore.Revision(i-1), list[i:i+1]); err != nil {
			s.Fatalf("append %d: %v", i, err)
		}
	}
	s.same(s.all(s.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) comesBack() {
	cable, cut := s.cable()
	through := s.client(cut, eventstore.Config{Patience: 50 * time.Millisecond})
	stream, list := s.stream(eventstore.Order), events(2)
	if _, err := through.Append(s.ctx, stream, eventstore.NoStream, list[:1]); err != nil {
		s.Fatal(err)
	}
	cable.cut()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 5 {
				_, appending := through.Append(s.ctx, s.stream(eventstore.Order), eventstore.NoStream, events(1))
				reading := s.failure(through.ReadStream(s.ctx, stream, 0))
				logging := s.failure(through.ReadAll(s.ctx, 0, eventstore.Filter{}))
				for _, err := range []error{appending, reading, logging} {
					if !errors.Is(err, eventstore.ErrUnavailable) {
						s.Errorf("%v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	cable.mend()
	for {
		_, err := through.Append(s.ctx, stream, 0, list[1:])
		if err == nil {
			break
		}
		if !errors.Is(err, eventstore.ErrUnavailable) || s.ctx.Err() != nil {
			s.Fatalf("the store is back: %v", err)
		}
	}
	s.same(s.all(through.ReadStream(s.ctx, stream, 0)), list)
}

func (s *store) closing() {
	c := s.client(s.url, eventstore.Config{})
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		var once sync.Once
		ended <- c.Subscribe(context.WithoutCancel(s.ctx), 0, eventstore.Filter{}, func(eventstore.Item) error {
			once.Do(func() { close(started) })
			return nil
		})
	}()
	<-started
	if err := c.Close(); err != nil {
		s.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, eventstore.ErrClosed) {
			s.Errorf("%v", err)
		}
	case <-s.ctx.Done():
		s.Error("the subscription goes on")
	}
	if _, err := c.Append(s.ctx, s.stream(eventstore.Order), eventstore.NoStream, events(1)); !errors.Is(err, eventstore.ErrClosed) {
		s.Errorf("append: %v", err)
	}
	if err := s.failure(c.ReadStream(s.ctx, "order-x", 0)); !errors.Is(err, eventstore.ErrClosed) {
		s.Errorf("read: %v", err)
	}
}
