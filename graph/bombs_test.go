package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/internal/auth"
)

// Documents as costly as the limits on their size allow are answered in a bounded time; the bound is generous, since other tests
// run beside it.
func TestCostlyDocumentsAreCheap(t *testing.T) {
	api := newOdd(t, Config{}, nil, nil)
	spread := "{ ...a0 } "
	for i := range 150 {
		spread += fmt.Sprintf("fragment a%d on Query { ...a%d ...a%d } ", i, i+1, i+1)
	}
	for name, query := range map[string]string{
		"one field 1,900 times":     `{ me { ` + strings.Repeat("kind ", 1900) + `} }`,
		"one field 490 times":       `{ me { ` + strings.Repeat("kind ", 490) + `} }`,
		"one object 400 times":      `{ ` + strings.Repeat("me { kind } ", 450) + `}`,
		"nested overlaps":           `{ ` + strings.Repeat("me { customer { id name addresses { label } } } ", 120) + `}`,
		"fragments of fragments":    spread + "fragment a150 on Query { me { kind } }",
		"overlapping fragments":     `{ me { ` + many(300, "...f%d ") + `} } ` + many(150, "fragment f%d on Viewer { kind roles } "),
		"arguments":                 `{ ` + many(10, "a%d: order(id: \"x\") { id } ") + strings.Repeat("products(first: 1) { nodes { sku } } ", 130) + `}`,
		"a string of a whole query": `{ order(id: "` + strings.Repeat("x", 15000) + `") { id } }`,
		"brackets":                  strings.Repeat("{", 1900),
		"lists in lists":            `{ order(id: ` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `) { id } }`,
	} {
		var took []time.Duration
		for range 3 {
			began := time.Now()
			send(t, api, "", query, nil)
			took = append(took, time.Since(began))
		}
		t.Logf("%-26s first %v, then %v", name, took[0].Round(time.Microsecond), slices.Min(took[1:]).Round(time.Microsecond))
		if slices.Min(took) > 100*time.Millisecond {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func TestTwoThousandLinesFit(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	sku := strings.Repeat("S", 64)
	w.product(sku, "0.10", "GBP")
	input := mugs("many", 1)
	lines := make([]any, 2000)
	for i := range lines {
		lines[i] = map[string]any{"sku": sku, "quantity": 1}
	}
	input["lines"] = lines
	if r := w.ask(ada, placeMutation, in(input)).fine(); r.at("placeOrder.receipt.position") == nil {
		t.Error(r.raw)
	}
}

func TestATokenIsBelievedForAMomentOnly(t *testing.T) {
	calls := 0
	v := newVerifier(func(string) (auth.Principal, error) {
		calls++
		if calls > 2 {
			return auth.Principal{}, auth.ErrToken
		}
		return auth.Principal{Kind: auth.Customer, ID: "ada"}, nil
	})
	now := time.Now()
	v.now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		calls int
		ok    bool
	}{{0, 1, true}, {time.Second, 1, true}, {trust, 2, true}, {trust + time.Second, 3, false}, {0, 4, false}} {
		now = now.Add(step.after)
		p, err := v.bearer(t.Context(), "token")
		if calls != step.calls || (err == nil) != step.ok || step.ok && p.ID != "ada" {
			t.Errorf("after %v: %d calls, %v", step.after, calls, err)
		}
	}
}
