package feed

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/testenv"
)

// hostile doubles, drops and reorders what a real broker delivered. Tags stay ascending, as on every channel: what is acknowledged
// by another message's tag is lost for the broker, which is the point.
func hostile(seed uint64, drop, double, swap float64) func(context.Context, <-chan rabbit.Delivery) <-chan rabbit.Delivery {
	var consumptions atomic.Uint64
	return func(ctx context.Context, in <-chan rabbit.Delivery) <-chan rabbit.Delivery {
		random := rand.New(rand.NewPCG(seed, consumptions.Add(1))) // one each: the last one's goroutine may still be ending
		out := make(chan rabbit.Delivery)
		go func() {
			defer close(out)
			var held []rabbit.Message
			tag := uint64(0)
			send := func(m rabbit.Message) bool {
				select {
				case out <- rabbit.Delivery{Message: m, Tag: tag}:
					return true
				case <-ctx.Done():
					return false
				}
			}
			for {
				var d rabbit.Delivery
				var ok bool
				select {
				case d, ok = <-in:
				case <-ctx.Done():
					return
				}
				if !ok {
					return
				}
				tag = d.Tag
				if random.Float64() < drop {
					continue
				}
				if random.Float64() < swap {
					held = append(held, d.Message)
					continue
				}
				if !send(d.Message) || random.Float64() < double && !send(d.Message) {
					return
				}
				if len(held) > 0 && random.Float64() < 0.3 {
					i := random.IntN(len(held))
					m := held[i]
					held = append(held[:i], held[i+1:]...)
					if !send(m) {
						return
					}
				}
			}
		}()
		return out
	}
}

// manage calls the management API; deleting what is gone is fine.
func manage(t *testing.T, method, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, testenv.ManagementURL(t)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode != http.StatusNotFound {
		answer, _ := io.ReadAll(response.Body)
		t.Fatalf("%s %s: %s %s", method, path, response.Status, answer)
	}
}

// wipe deletes the vhost with all of its data, and makes it anew.
func (w *world) wipe() {
	w.t.Helper()
	u, err := url.Parse(w.url)
	w.must(err)
	manage(w.t, http.MethodDelete, "/api/vhosts"+u.Path, "")
	manage(w.t, http.MethodPut, "/api/vhosts"+u.Path, "{}")
	manage(w.t, http.MethodPut, "/api/permissions"+u.Path+"/"+u.User.Username(), `{"configure":".*","write":".*","read":".*"}`)
}

func (w *world) purge(queue string) {
	w.t.Helper()
	u, err := url.Parse(w.url)
	w.must(err)
	manage(w.t, http.MethodDelete, "/api/queues"+u.Path+"/"+queue+"/contents", "")
}

func (w *world) deleteQueue(queue string) {
	w.t.Helper()
	u, err := url.Parse(w.url)
	w.must(err)
	manage(w.t, http.MethodDelete, "/api/queues"+u.Path+"/"+queue, "")
}

// proxy stands between a process and the broker, and can be cut.
type proxy struct {
	target   string
	listener net.Listener
	mu       sync.Mutex // guards the rest
	up       bool
	conns    []net.Conn
	running  sync.WaitGroup
}

func newProxy(t *testing.T, brokerURL string, up bool) (p *proxy, throughIt string) {
	t.Helper()
	u, err := url.Parse(brokerURL)
	if err != nil {
		t.Fatal(err)
	}
	p = &proxy{target: u.Host, up: up}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		p.listener.Close()
		p.set(false)
		p.running.Wait()
	})
	u.Host = p.listener.Addr().String()
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		server, err := net.Dial("tcp", p.target)
		if !p.up || err != nil {
			client.Close()
			if err == nil {
				server.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.running.Go(func() { _, _ = io.Copy(server, client); server.Close() })
		p.running.Go(func() { _, _ = io.Copy(client, server); client.Close() })
	}
}

func (p *proxy) set(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = up
	if !up {
		for _, c := range p.conns {
			c.Close()
		}
		p.conns = nil
	}
}
