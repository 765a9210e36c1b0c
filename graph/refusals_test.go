package graph

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/queries"
)

// placed counts the orders of the store.
func (w *world) placed() (n int) {
	w.t.Helper()
	for e, err := range w.store.ReadAll(w.t.Context(), 0, eventstore.Filter{Categories: []eventstore.Category{eventstore.Order}}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Type == "order.placed.v1" {
			n++
		}
	}
	return n
}

func TestOneKeyOnTwoProcessesAtOnceIsOneOrder(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	processes := []http.Handler{w.process(), w.process()}
	race := func(inputs ...map[string]any) []reply {
		replies := make([]reply, len(inputs))
		var group sync.WaitGroup
		for i, input := range inputs {
			group.Go(func() { replies[i] = send(t, processes[i], ada, placeMutation, in(input)) })
		}
		group.Wait()
		return replies
	}
	for round := range 5 {
		key := fmt.Sprintf("equal-%d", round)
		r := race(mugs(key, 1), mugs(key, 1))
		first, second := r[0].fine(), r[1].fine()
		for _, path := range []string{"placeOrder.orderId", "placeOrder.receipt.position", "placeOrder.receipt.commandId"} {
			if first.text(path) != second.text(path) {
				t.Errorf("two answers at %s: %s %s", path, first.raw, second.raw)
			}
		}
		if first.at("placeOrder.receipt.replayed") == second.at("placeOrder.receipt.replayed") {
			t.Errorf("one call placed it and one was replayed, not: %s %s", first.raw, second.raw)
		}
		key = fmt.Sprintf("different-%d", round)
		r = race(mugs(key, 1), mugs(key, 2))
		refusals := 0
		for _, one := range r {
			if one.fine().at("placeOrder.userErrors.0.code") == "IDEMPOTENCY_KEY_REUSED" {
				refusals++
			}
		}
		if refusals != 1 {
			t.Errorf("different input: %s %s", r[0].raw, r[1].raw)
		}
	}
	if n := w.placed(); n != 10 {
		t.Errorf("%d orders, want 10", n)
	}
}

func TestTheHeaderIsAnIdempotencyKeyToo(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	input := mugs("", 1)
	delete(input, "idempotencyKey")
	first := w.ask(ada, placeMutation, in(input), "Idempotency-Key", "from-header").fine()
	again := w.ask(ada, placeMutation, in(input), "Idempotency-Key", "from-header").fine()
	if first.text("placeOrder.orderId") != again.text("placeOrder.orderId") || again.at("placeOrder.receipt.replayed") != true {
		t.Error(first.raw, again.raw)
	}
	other := w.ask(bob, placeMutation, in(input), "Idempotency-Key", "from-header").fine()
	if other.text("placeOrder.orderId") == first.text("placeOrder.orderId") {
		t.Error("two customers with one key share an order")
	}
	w.ask(ada, placeMutation, in(mugs("no spaces please", 1))).refused("placeOrder", "IDEMPOTENCY_KEY_MALFORMED")
	// A key that was given is one that is relied on.
	w.ask(ada, placeMutation, in(mugs("", 1)), "Idempotency-Key", "from-header").refused("placeOrder", "IDEMPOTENCY_KEY_MALFORMED")
	w.ask(ada, placeMutation, in(input), "Idempotency-Key", "").refused("placeOrder", "IDEMPOTENCY_KEY_MALFORMED")
	w.ask(ada, placeMutation, in(input), "Idempotency-Key", "one", "Idempotency-Key", "two").refused("placeOrder", "IDEMPOTENCY_KEY_MALFORMED")
}

func TestBadOrdersAreRefusedAndNothingIsPlaced(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	w.product("YEN", "100", "JPY")
	with := func(change func(map[string]any)) map[string]any {
		m := mugs("", 1)
		delete(m, "idempotencyKey")
		change(m)
		return m
	}
	lines := func(n int) []any {
		all := make([]any, n)
		for i := range all {
			all[i] = map[string]any{"sku": "MUG", "quantity": 1}
		}
		return all
	}
	for name, tc := range map[string]struct {
		input map[string]any
		code  string
		field string
	}{
		"negative quantity": {mugs("", -1), "QUANTITY_OUT_OF_RANGE", "input.lines.0.quantity"},
		"no quantity":       {mugs("", 0), "QUANTITY_OUT_OF_RANGE", "input.lines.0.quantity"},
		"absurd quantity":   {mugs("", 2_000_000_000), "QUANTITY_OUT_OF_RANGE", "input.lines.0.quantity"},
		"unknown SKU": {with(func(m map[string]any) { m["lines"] = []any{map[string]any{"sku": "NO-SUCH", "quantity": 1}} }),
			"UNKNOWN_PRODUCT", "input.lines.0.sku"},
		"malformed SKU": {with(func(m map[string]any) { m["lines"] = []any{map[string]any{"sku": "a b", "quantity": 1}} }), "SKU_MALFORMED", "input.lines.0.sku"},
		"mixed currencies": {with(func(m map[string]any) { m["lines"] = append(lines(1), map[string]any{"sku": "YEN", "quantity": 1}) }),
			"MIXED_CURRENCIES", "input.lines.1.sku"},
		"no lines":      {with(func(m map[string]any) { m["lines"] = []any{} }), "ORDER_WITHOUT_LINES", "input.lines"},
		"10,000 lines":  {with(func(m map[string]any) { m["lines"] = lines(10_000) }), "TOO_MANY_LINES", "input.lines"},
		"a card number": {with(func(m map[string]any) { m["paymentToken"] = "4111 1111 1111 1111" }), "PAYMENT_TOKEN_MALFORMED", "input.paymentToken"},
		"address": {with(func(m map[string]any) {
			m["address"] = map[string]any{"lines": []any{}, "city": "London", "country": "GB"}
		}),
			"ADDRESS_LINES_INVALID", "input.address.lines"},
	} {
		delete(tc.input, "idempotencyKey")
		r := w.ask(ada, placeMutation, in(tc.input)).refused("placeOrder", tc.code)
		var field []string
		all, _ := r.at("placeOrder.userErrors.0.field").([]any)
		for _, part := range all {
			field = append(field, fmt.Sprint(part))
		}
		if got := strings.Join(field, "."); got != tc.field {
			t.Errorf("%s: field %q, want %q", name, got, tc.field)
		}
	}
	for name, input := range map[string]map[string]any{
		"an unknown field": with(func(m map[string]any) { m["discount"] = "all" }),
		"a price": with(func(m map[string]any) {
			m["lines"] = []any{map[string]any{"sku": "MUG", "quantity": 1, "price": "0.01"}}
		}),
		"a fraction":        mugs("x", 1.5),
		"beyond any number": mugs("x", "1e400"),
		"no currency":       with(func(m map[string]any) { delete(m, "currency") }),
		"a currency of none": with(func(m map[string]any) {
			m["currency"] = "XXX"
		}),
		"a NUL": with(func(m map[string]any) { m["paymentToken"] = "tok\x00" }),
	} {
		r := w.ask(ada, placeMutation, in(input))
		if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "BAD_USER_INPUT" {
			t.Errorf("%s: %s", name, r.raw)
		}
	}
	if n := w.placed(); n != 0 {
		t.Errorf("%d orders were placed", n)
	}
}

func TestACartIsItsCustomersAlone(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	const add = `mutation($in: CartItemInput!) { addCartItem(input: $in) { cartId cart { items { sku quantity product { name } } } receipt { position } userErrors { code } } }`
	opened := w.ask(ada, `mutation($in: OpenCartInput!) { openCart(input: $in) { cartId receipt { position } userErrors { code } } }`, in(map[string]any{"currency": "GBP"})).fine()
	item := map[string]any{"cartId": opened.text("openCart.cartId"), "sku": "MUG", "quantity": 2}
	if r := w.ask(ada, add, in(item)).fine(); r.at("addCartItem.cart.items.0.product.name") != "Thing MUG" {
		t.Error(r.raw)
	}
	w.ask(bob, add, in(item)).fails("FORBIDDEN", "FORBIDDEN")
	out := map[string]any{"cartId": item["cartId"], "address": mugs("", 1)["address"], "paymentToken": payment.TokenOK}
	const checkOut = `mutation($in: CheckOutInput!) { checkOut(input: $in) { orderId order { total { amount } lines { sku quantity } } receipt { position } userErrors { code } } }`
	w.ask(bob, checkOut, in(out)).fails("FORBIDDEN", "FORBIDDEN")
	if r := w.ask(ada, checkOut, in(out)).fine(); r.at("checkOut.order.total.amount") != "9.00" {
		t.Error(r.raw)
	}
	if r := w.ask(bob, `query($id: ID!) { cart(id: $id) { id } }`, map[string]any{"id": item["cartId"]}).fine(); r.at("cart") != nil {
		t.Error(r.raw)
	}
	if r := w.ask(ada, `query($id: ID!) { cart(id: $id) { status order { number } } }`, map[string]any{"id": item["cartId"]}).fine(); r.at("cart.order.number") == nil {
		t.Error(r.raw)
	}
}

func TestForgedIdsAndPositions(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	order := `query($id: ID!, $at: Position) { order(id: $id, atLeast: $at) { id } }`
	for _, id := range []string{"", "x", "nope!", model.GlobalID("Cart", "abc"), model.GlobalID("Order", ""), model.GlobalID("Order", "a\x00b"), strings.Repeat("QUFB", 1000)} {
		w.ask(ada, order, map[string]any{"id": id}).fails("BAD_USER_INPUT", "ID_INVALID")
	}
	if r := w.ask(ada, order, map[string]any{"id": model.GlobalID("Order", "no-such")}).fine(); r.at("order") != nil {
		t.Error(r.raw)
	}
	id := model.GlobalID("Order", "any")
	foreign := queries.Token{Store: "another", Position: 1}.String()
	w.ask(ada, order, map[string]any{"id": id, "at": foreign}).fails("BAD_USER_INPUT", "POSITION_INVALID")
	w.ask(ada, order, map[string]any{"id": id, "at": "nonsense"}).fails("BAD_USER_INPUT", "POSITION_INVALID")
	w.ask(admin, `query { node(id: "`+model.GlobalID("Secret", "1")+`") { id } }`, nil).fails("BAD_USER_INPUT", "ID_INVALID")
}

func TestALateReadModelFailsItsFieldAlone(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	w.stop()
	d := w.deps()
	d.Queries = must(queries.New(w.pool("", nil), w.keys, w.store, queries.Config{Wait: 1}))
	r := send(t, must(New(d, Config{})), ada, `mutation($in: PlaceOrderInput!) { placeOrder(input: $in) { orderId receipt { position } order { number } userErrors { code } } }`, in(mugs("late", 1)))
	r.fails("TIMEOUT", "READ_MODEL_BEHIND")
	if r.status != http.StatusOK || r.at("placeOrder.receipt.position") == nil || r.at("placeOrder.orderId") == nil || fmt.Sprint(r.Errors[0].Path) != "[placeOrder order]" {
		t.Error(r.raw)
	}
	if w.placed() != 1 {
		t.Error("the order was not placed")
	}
	// Who does not select it does not wait for it.
	w.ask(ada, placeMutation, in(mugs("late-2", 1))).fine()
}
