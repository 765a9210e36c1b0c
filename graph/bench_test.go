package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gqlgen "github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/internal/auth"
)

// contenders are a mutation that does nothing behind gqlgen's own bare handler and behind ours with everything on: a signed
// token, limits, spans, metrics, an access log.
func contenders(b *testing.B) (bare, ours http.Handler, body, token string) {
	b.Helper()
	server := gqlgen.New(exec.NewExecutableSchema(exec.Config{Resolvers: odd{&resolver{}}}))
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	key := must(auth.NewKey("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="))
	d := Deps{Verify: key.Verify, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))}
	ours = must(newHandler(exec.NewExecutableSchema(exec.Config{Resolvers: odd{&resolver{}}}), d, Config{}))
	token = must(key.Issue(auth.Principal{Kind: auth.Customer, ID: "ada", Roles: []auth.Role{auth.RoleCustomer}}, time.Now(), time.Hour))
	body = string(must(json.Marshal(map[string]any{"query": noop, "variables": in(map[string]any{"mail": true, "sms": false, "push": false})})))
	return server, ours, body, token
}

// BenchmarkNoopMutation measures both in turns, five times, over 64 connections, and reports the median of the ratios. The load
// generator shares the machine's cores with either.
func BenchmarkNoopMutation(b *testing.B) {
	bare, ours, body, token := contenders(b)
	servers := []*httptest.Server{httptest.NewServer(bare), httptest.NewServer(ours)}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer func() {
		client.CloseIdleConnections()
		for _, s := range servers {
			s.Close()
		}
	}()
	n := max(b.N, 2000)
	rate := func(url string) float64 {
		var left atomic.Int64
		left.Store(int64(n))
		var group sync.WaitGroup
		began := time.Now()
		for range 64 {
			group.Go(func() {
				for left.Add(-1) >= 0 {
					r := must(http.NewRequest(http.MethodPost, url, strings.NewReader(body)))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+token)
					answer, err := client.Do(r)
					if err != nil {
						b.Error(err)
						return
					}
					got, err := io.ReadAll(answer.Body)
					if err != nil || answer.Body.Close() != nil || !bytes.Contains(got, []byte(`"userErrors":[]`)) {
						b.Errorf("%s %v", got, err)
						return
					}
				}
			})
		}
		group.Wait()
		return float64(n) / time.Since(began).Seconds()
	}
	for _, s := range servers {
		rate(s.URL)
	}
	b.ResetTimer()
	var ratios, rates []float64
	for range 5 {
		plain, full := rate(servers[0].URL), rate(servers[1].URL)
		ratios, rates = append(ratios, full/plain), append(rates, full)
	}
	b.StopTimer()
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(rates), "requests/s")
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkHandlerAlone is the same without a network, a request at a time: what the middleware costs by itself.
func BenchmarkHandlerAlone(b *testing.B) {
	bare, ours, body, token := contenders(b)
	for _, c := range []struct {
		name string
		http.Handler
	}{{"bare", bare}, {"ours", ours}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+token)
				rec := httptest.NewRecorder()
				c.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(fmt.Sprint(rec.Code, rec.Body))
				}
			}
		})
	}
}
