package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// An order as the read models show it.
type order struct {
	ID, Status string
	Total      struct{ Amount string }
	Payment    *struct {
		Status   string
		Captured struct{ Amount string }
	}
}

func (o order) ended() bool {
	return o.Status == "SHIPPED" || o.Status == "DELIVERED" || o.Status == "CANCELLED"
}

// settle reads the customer's orders until all that were accepted have ended, patience long.
func settle(ctx context.Context, c *client, accepted map[string]accepted) ([]order, error) {
	for until := time.Now().Add(patience); ; {
		all, err := orders(ctx, c)
		if err != nil {
			return nil, err
		}
		ended := 0
		for _, o := range all {
			if _, ours := accepted[o.ID]; ours && o.ended() {
				ended++
			}
		}
		fmt.Printf("  %d of %d orders have ended\n", ended, len(accepted))
		if ended == len(accepted) || time.Now().After(until) {
			return all, nil // what is missing is told by balance
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

func orders(ctx context.Context, c *client) (all []order, err error) {
	for after := (*string)(nil); ; {
		var page struct {
			Orders struct {
				Nodes    []order
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		err := c.do(ctx, c.customer, `query($after: String) { orders(first: 100, after: $after) { nodes { id status total { amount } payment { status captured { amount } } }
			pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after}, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Orders.Nodes...)
		if !page.Orders.PageInfo.HasNextPage {
			return all, nil
		}
		cursor := page.Orders.PageInfo.EndCursor
		after = &cursor
	}
}

// balance compares the books and prints the result.
func balance(ctx context.Context, c *client, accepted map[string]accepted, seen []order, ledger string) error {
	lost, doubled := 0, 0
	var wrong []error
	units, captured, shipped, times := map[string]int{}, int64(0), 0, map[string]int{}
	for _, o := range seen {
		times[o.ID]++
		want, ours := accepted[o.ID]
		if !ours || times[o.ID] > 1 {
			doubled++ // nobody was told of it, or it is there again
			continue
		}
		if !o.ended() {
			lost++
			continue
		}
		took := int64(0)
		if o.Payment != nil {
			took = pence(o.Payment.Captured.Amount)
		}
		switch ships := o.Status != "CANCELLED"; {
		case ships != want.mayShip:
			wrong = append(wrong, fmt.Errorf("order %s (%s) ended %s", o.ID, want.key, o.Status))
		case ships && took != pence(o.Total.Amount), !ships && took != 0:
			wrong = append(wrong, fmt.Errorf("order %s is %s and %d pence were taken", o.ID, o.Status, took))
		case ships:
			shipped++
			captured += took
			units[want.sku] += want.units
		}
	}
	for id := range accepted {
		if times[id] == 0 {
			lost++
		}
	}
	wrong = append(wrong, shelves(ctx, c, units)...)
	more, err := bank(ledger, shipped, captured)
	doubled += more
	wrong = append(wrong, err)
	fmt.Printf("%d orders accepted, %d shipped and paid (%d.%02d GBP), %d ended without charge: %d lost, %d doubled\n",
		len(accepted), shipped, captured/100, captured%100, len(accepted)-shipped, lost, doubled)
	if lost+doubled > 0 {
		wrong = append(wrong, errors.New("the books do not balance"))
	}
	return errors.Join(wrong...)
}

// shelves: what is left of each product is what was received less what was shipped, and nothing stays reserved.
func shelves(ctx context.Context, c *client, units map[string]int) (wrong []error) {
	for i := range products {
		var answer struct {
			Product struct {
				Stock struct{ OnHand, Reserved int }
			}
		}
		if err := c.do(ctx, c.admin, `query($sku: String!) { product(sku: $sku) { stock { onHand reserved } } }`, map[string]any{"sku": sku(i)}, &answer); err != nil {
			return append(wrong, err)
		}
		if s := answer.Product.Stock; s.OnHand != received-units[sku(i)] || s.Reserved != 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d on hand and %d reserved after %d of %d were shipped", sku(i), s.OnHand, s.Reserved, units[sku(i)], received))
		}
	}
	return wrong
}

// bank reads the other book, that of the simulated payment provider: as many captures as orders shipped, each reference once,
// the same sum.
func bank(path string, shipped int, captured int64) (doubled int, err error) {
	if path == "" {
		return 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	refs, sum := map[string]int{}, int64(0)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e struct {
			Op, Ref string
			Amount  struct {
				Minor int64 `json:"minor"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return doubled, fmt.Errorf("the bank's ledger: %w", err)
		}
		if e.Op != "capture" {
			continue
		}
		if refs[e.Ref]++; refs[e.Ref] > 1 {
			doubled++
		}
		sum += e.Amount.Minor
	}
	if len(refs) != shipped || sum != captured {
		return doubled, fmt.Errorf("the bank took %d payments of %d pence in all, the shop shipped %d orders and booked %d", len(refs), sum, shipped, captured)
	}
	fmt.Printf("the bank's ledger: %d captures, each once, the same sum\n", len(refs))
	return doubled, nil
}

func pence(amount string) int64 {
	n, err := strconv.ParseInt(strings.Replace(amount, ".", "", 1), 10, 64)
	if err != nil {
		return -1 // equals no sum
	}
	return n
}
