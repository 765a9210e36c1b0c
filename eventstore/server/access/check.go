package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// Bounds of the queue before the hashing of passwords.
const (
	maxWaiting     = 64 // of all callers; who has more in it makes room for who has fewer
	maxWaitingHost = 16 // of one host
)

// seal remembers one password by its keyed hash.
type seal struct {
	mac atomic.Pointer[[sha256.Size]byte]
}

func (s *seal) fits(mac *[sha256.Size]byte) bool {
	kept := s.mac.Load()
	return kept != nil && hmac.Equal(kept[:], mac[:])
}

// checker is what checks share: the key of seals, and the queue before the hashing.
type checker struct {
	key    [32]byte      // drawn by this process; seals are worth nothing without it
	slots  chan struct{} // hashing now
	flight singleflight.Group
	hashes atomic.Uint64 // so far

	mu    sync.Mutex
	total int
	hosts map[string][]*waiter // who waits; the latest is the last
}

// waiter is a place in the queue.
type waiter struct {
	host string
	out  chan struct{} // closed when it must make room
}

func newChecker() *checker {
	c := &checker{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), hosts: map[string][]*waiter{}}
	_, _ = rand.Read(c.key[:]) // it never fails (crypto/rand)
	return c
}

func (c *checker) mac(name, password string) *[sha256.Size]byte {
	m := hmac.New(sha256.New, c.key[:])
	m.Write([]byte(name))
	m.Write([]byte{0}) // no name holds one
	m.Write([]byte(password))
	return (*[sha256.Size]byte)(m.Sum(nil))
}

// recognise returns the account if the password is the one that was found to be its own before, nil otherwise.
func (c *checker) recognise(b *book, name, password string) *account {
	if a := b.account(name); a != nil && len(password) <= maxPassword && a.known.fits(c.mac(name, password)) {
		return a
	}
	return nil
}

// check returns the account if the password is its own. host is where the caller is, for fairness. Equal questions that are asked
// at once are answered by one hash.
func (c *checker) check(ctx context.Context, b *book, name, password, host string) (*account, error) {
	if len(password) > maxPassword || len(name) > maxName {
		return nil, ErrCredentials
	}
	a, mac := b.account(name), c.mac(name, password)
	if a != nil && a.known.fits(mac) {
		return a, nil
	}
	h := b.hashOf(name, &c.key)
	answer := c.flight.DoChan(string(mac[:])+h.String(), func() (any, error) { return c.hash(h, password, host) })
	select {
	case r := <-answer:
		if r.Err != nil {
			return nil, r.Err
		}
		if fits, _ := r.Val.(bool); !fits || a == nil {
			return nil, ErrCredentials
		}
		a.known.mac.Store(mac)
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *checker) hash(h hashed, password, host string) (bool, error) {
	w := c.enter(host)
	if w == nil {
		return false, ErrBusy
	}
	select {
	case c.slots <- struct{}{}: // at most maxWaiting hashes are before this one
	case <-w.out:
		return false, ErrBusy
	}
	defer func() { <-c.slots }()
	c.leave(w)
	c.hashes.Add(1)
	return h.fits([]byte(password)), nil
}

// enter returns a place in the queue, nil if there is none. A full queue is no reason to refuse a host that has fewer places than another:
// then that other loses its latest, so that a few hosts that guess can't keep everybody else from logging in.
func (c *checker) enter(host string) *waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := len(c.hosts[host])
	if mine >= maxWaitingHost {
		return nil
	}
	if c.total >= maxWaiting {
		most := c.greediest()
		if len(most) <= mine+1 {
			return nil
		}
		victim := most[len(most)-1]
		close(victim.out)
		c.remove(victim)
	}
	w := &waiter{host: host, out: make(chan struct{})}
	c.hosts[host] = append(c.hosts[host], w)
	c.total++
	return w
}

// greediest returns the places of the host that has most. It is called with mu held.
func (c *checker) greediest() (most []*waiter) {
	for _, all := range c.hosts {
		if len(all) > len(most) {
			most = all
		}
	}
	return most
}

func (c *checker) leave(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(w)
}

// remove is called with mu held. Who was thrown out is no longer there.
func (c *checker) remove(w *waiter) {
	all := c.hosts[w.host]
	at := slices.Index(all, w)
	if at < 0 {
		return
	}
	c.total--
	if all = slices.Delete(all, at, at+1); len(all) == 0 {
		delete(c.hosts, w.host)
	} else {
		c.hosts[w.host] = all
	}
}
