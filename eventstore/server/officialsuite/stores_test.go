package officialsuite

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

// stores starts a store for whoever asks over HTTP, and stops it again. What still runs when the test ends is stopped then.
type stores struct {
	t        *testing.T
	url      string
	seeded   string // folder of a closed store, to be copied
	security security

	mu      sync.Mutex
	running map[string]func() // stops, by id; guarded by mu
	last    int               // guarded by mu
}

// serveStores returns the address of the orders: POST /empty, POST /populated, DELETE /<id>.
func serveStores(t *testing.T, seeded string, sec security) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stores{t: t, url: "http://" + l.Addr().String(), seeded: seeded, security: sec, running: map[string]func(){}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{kind}", s.start)
	mux.HandleFunc("DELETE /{id}", s.stop)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- web.Serve(l) }()
	t.Cleanup(func() {
		_ = web.Close()
		<-done
		for _, stop := range s.running {
			stop()
		}
	})
	return s.url
}

func (s *stores) start(w http.ResponseWriter, r *http.Request) {
	dir := s.t.TempDir()
	switch kind := r.PathValue("kind"); kind {
	case "empty":
	case "populated":
		if err := os.CopyFS(dir, os.DirFS(s.seeded)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	default:
		http.Error(w, "no such kind of store: "+kind, http.StatusNotFound)
		return
	}
	port, stop, err := s.open(dir)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.last++
	id := fmt.Sprint(s.last)
	s.running[id] = stop
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"Endpoint": fmt.Sprintf("127.0.0.1:%d", port), "Control": s.url + "/" + id})
}

func (s *stores) stop(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	stop := s.running[r.PathValue("id")]
	delete(s.running, r.PathValue("id"))
	s.mu.Unlock()
	if stop == nil {
		http.Error(w, "no such store", http.StatusNotFound)
		return
	}
	stop()
}

// open runs a store in dir on a free port of the loopback interface until stop is called.
func (s *stores) open(dir string) (port int, stop func(), err error) {
	db, err := engine.Open(dir, engine.Config{})
	if err != nil {
		return 0, nil, err
	}
	srv, err := server.New(db, s.security.config())
	if err != nil {
		return 0, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	return l.Addr().(*net.TCPAddr).Port, func() {
		cancel()
		if err := <-served; err != nil {
			s.t.Errorf("serving: %v", err)
		}
		if err := db.Close(); err != nil {
			s.t.Errorf("closing: %v", err)
		}
	}, nil
}
