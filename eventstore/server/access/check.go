package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// Bounds of the queue before the hashing of passwords.
const (
	maxWaiting     = 64 // of all callers
	maxWaitingHost = 16 // of one host, so that one can't fill the queue for all
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
	hosts map[string]int // who waits or hashes
}

func newChecker() *checker {
	c := &checker{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), hosts: map[string]int{}}
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
	if !c.enter(host) {
		return false, ErrBusy
	}
	defer c.leave(host)
	c.slots <- struct{}{} // at most maxWaiting hashes are before this one
	defer func() { <-c.slots }()
	c.hashes.Add(1)
	return h.fits([]byte(password)), nil
}

func (c *checker) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= maxWaiting || c.hosts[host] >= maxWaitingHost {
		return false
	}
	c.total++
	c.hosts[host]++
	return true
}

func (c *checker) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.hosts[host]--; c.hosts[host] == 0 {
		delete(c.hosts, host)
	}
}
