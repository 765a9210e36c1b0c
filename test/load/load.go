// Command load lets orders flow into a running shop for a while, through whatever happens to it, and then balances the books:
// what the API accepted, what the read models say, what is on the shelves, and what the simulated bank took. `make demo` runs it.
//
//	load -api http://127.0.0.1:8080/graphql -for 60s -rate 20 -ledger .annal/simulators/payments.jsonl
//
// CUSTOMER_TOKEN and ADMIN_TOKEN are in the environment. A call without an answer is repeated under its own idempotency key, as any
// client of the shop should do it, for two minutes at most. One order in ten has a card that is declined, one in ten wants a
// product of which there is nothing left. It ends with 0 and `0 lost, 0 doubled`, or with 1 and what does not add up. It
// knows the shop by its API alone and needs a shop whose customer ordered nothing before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	products = 20
	received = 100_000 // units of each product
	patience = 2 * time.Minute
)

func main() {
	api := flag.String("api", "http://127.0.0.1:8080/graphql", "address of the GraphQL API")
	span := flag.Duration("for", time.Minute, "how long orders flow")
	rate := flag.Int("rate", 20, "orders per second")
	ledger := flag.String("ledger", "", "the payment simulator's ledger")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := newClient(*api, os.Getenv("CUSTOMER_TOKEN"), os.Getenv("ADMIN_TOKEN"))
	if err := run(ctx, c, *span, *rate, *ledger); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, c *client, span time.Duration, rate int, ledger string) error {
	if err := open(ctx, c); err != nil {
		return err
	}
	accepted, failed := flow(ctx, c, span, max(rate, 1))
	if failed != nil {
		return failed
	}
	seen, err := settle(ctx, c, accepted)
	if err != nil {
		return err
	}
	return balance(ctx, c, accepted, seen, ledger)
}

// open registers the customer and fills the shelves.
func open(ctx context.Context, c *client) error {
	if err := c.do(ctx, c.customer, `mutation { registerCustomer(input: {idempotencyKey: "load", name: "Load", email: "load@example.com"}) { userErrors { code message } } }`, nil, nil); err != nil {
		return err
	}
	for i := range products + 1 {
		v := map[string]any{"sku": sku(i), "n": received}
		if err := c.do(ctx, c.admin, `mutation($sku: String!) { createProduct(input: {idempotencyKey: $sku, sku: $sku, name: $sku, price: {amount: "2.50", currencyCode: "GBP"}}) { userErrors { code message } } }`, map[string]any{"sku": v["sku"]}, nil); err != nil {
			return err
		}
		if i == products {
			break // of the last there is never anything
		}
		if err := c.do(ctx, c.admin, `mutation($sku: String!, $n: Int!) { receiveStock(input: {idempotencyKey: $sku, sku: $sku, quantity: $n}) { userErrors { code message } } }`, v, nil); err != nil {
			return err
		}
	}
	return nil
}

func sku(i int) string { return "DEMO-" + strconv.Itoa(i) }

// An accepted order, by its global id.
type accepted struct {
	key     string
	sku     string
	units   int
	mayShip bool
}

// flow places orders at a steady rate until span is over; those under way then still get their answer.
func flow(ctx context.Context, c *client, span time.Duration, rate int) (map[string]accepted, error) {
	var mu sync.Mutex
	all := map[string]accepted{}
	var problems []error
	var inFlight atomic.Int64
	var workers sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	tell := time.NewTicker(2 * time.Second)
	defer tell.Stop()
	end := time.After(span)
	for n := 0; ; {
		select {
		case <-tick.C:
			n++
			inFlight.Add(1)
			workers.Go(func() {
				defer inFlight.Add(-1)
				id, o, err := place(ctx, c, n)
				mu.Lock()
				defer mu.Unlock()
				if _, twice := all[id]; twice && err == nil {
					err = fmt.Errorf("two keys were answered with one order %s", id)
				}
				if err != nil {
					problems = append(problems, err)
					return
				}
				all[id] = o
			})
		case <-tell.C:
			mu.Lock()
			fmt.Printf("  %d orders accepted, %d waiting for an answer, %d calls repeated\n", len(all), inFlight.Load(), c.repeated.Load())
			mu.Unlock()
		case <-end:
			workers.Wait()
			fmt.Printf("  %d orders accepted of %d, %d calls repeated\n", len(all), n, c.repeated.Load())
			return all, errors.Join(problems...)
		case <-ctx.Done():
			workers.Wait()
			return nil, ctx.Err()
		}
	}
}

func place(ctx context.Context, c *client, n int) (string, accepted, error) {
	o := accepted{key: "load-" + strconv.Itoa(n), sku: sku(n % products), units: 1 + n%3, mayShip: true}
	token := "tok_ok"
	switch n % 10 {
	case 3:
		token, o.mayShip = "tok_declined", false
	case 7:
		o.sku, o.mayShip = sku(products), false
	}
	var answer struct {
		PlaceOrder struct{ OrderID string }
	}
	err := c.do(ctx, c.customer, `mutation($key: String, $sku: String!, $n: Int!, $token: String!) { placeOrder(input: {idempotencyKey: $key, lines: [{sku: $sku, quantity: $n}],
		currency: "GBP", paymentToken: $token, address: {lines: ["1 High Street"], city: "Leeds", country: "GB"}}) { orderId userErrors { code message } } }`,
		map[string]any{"key": o.key, "sku": o.sku, "n": o.units, "token": token}, &answer)
	if err == nil && answer.PlaceOrder.OrderID == "" {
		err = errors.New("placeOrder answered without an order")
	}
	return answer.PlaceOrder.OrderID, o, err
}
