package graph

import (
	"maps"
	"testing"
)

func TestIntsOfADocumentFitInto32Bits(t *testing.T) {
	w := newWorld(t)
	const whole = ": an Int is a whole number between -2147483648 and 2147483647, without point and exponent"
	for query, where := range map[string]string{
		`{ products(first: 3000000000) { edges { cursor } } }`:                                                  "the argument first of products",
		`{ ...f } fragment f on Query { ... on Query { p: products(first: 3000000000) { edges { cursor } } } }`: "the argument first of products",
		`mutation { receiveStock(input: {sku: "MUG", quantity: 3000000000}) { sku } }`:                          "the argument input.quantity of receiveStock",
		`mutation($k: String) { placeOrder(input: {idempotencyKey: $k, currency: "GBP", paymentToken: "t", address: {lines: ["1"], city: "L", country: "GB"}, ` +
			`lines: [{sku: "A", quantity: 1}, {sku: "B", quantity: 2147483648}]}) { orderId } }`: "the argument input.lines.1.quantity of placeOrder",
	} {
		r := w.ask(admin, query, nil)
		r.fails("BAD_USER_INPUT", "INT_INVALID")
		if len(r.Errors) == 1 && r.Errors[0].Message != where+whole {
			t.Errorf("%s: %q", query, r.Errors[0].Message)
		}
	}
	for query, where := range map[string]string{ // gqlparser refuses what is beyond 64 bits, and names no argument
		`{ products(first: -99999999999999999999) { edges { cursor } } }`:                                                                                    "the argument first of products",
		`mutation { receiveStock(input: {sku: "MUG", quantity: 99999999999999999999999999}) { sku } }`:                                                       "the argument input.quantity of receiveStock",
		`{ ...f } fragment f on Query { products(first: 5, after: "x") { edges { cursor } } p: products(first: 99999999999999999999) { edges { cursor } } }`: "the argument first of products",
	} {
		r := w.ask(admin, query, nil)
		if len(r.Errors) == 0 || r.Errors[0].Message != where+whole || r.Errors[0].Extensions.Reason != "GRAPHQL_VALIDATION_FAILED" {
			t.Errorf("%s: %s", query, r.raw)
		}
	}
	w.ask(admin, `{ order(id: 3000000000) { id } }`, nil).fails("BAD_USER_INPUT", "ID_INVALID") // an ID may be a number, a long one too
}

func TestACauseThatIsNullIsOneThatWasLeftOut(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	placed := w.ask(ada, placeMutation, in(mugs("k", 1))).fine().text("placeOrder.orderId")
	cancel := func(more map[string]any) reply {
		input := map[string]any{"idempotencyKey": "c", "orderId": placed, "reason": "x"}
		maps.Copy(input, more)
		return w.ask(ada, `mutation($in: CancelOrderInput!) { cancelOrder(input: $in) { receipt { position replayed } userErrors { code } } }`, in(input)).fine()
	}
	first := cancel(map[string]any{"cause": nil}).text("cancelOrder.receipt.position")
	for _, same := range []map[string]any{{}, {"cause": "OTHER"}} {
		again := cancel(same)
		if again.at("cancelOrder.receipt.replayed") != true || again.text("cancelOrder.receipt.position") != first {
			t.Errorf("%v: %s", same, again.raw)
		}
	}
	cancel(map[string]any{"cause": "DAMAGED"}).refused("cancelOrder", "IDEMPOTENCY_KEY_REUSED")
}

func TestNumbersOfTheWrongKindAreNamed(t *testing.T) {
	w := newWorld(t)
	const whole = "an Int is a whole number between -2147483648 and 2147483647, without point and exponent"
	const nested = `mutation($in: ReceiveStockInput!) { receiveStock(input: $in) { sku } }`
	for _, c := range []struct{ query, variables, message, reason string }{
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":1.5}`, "cannot use the number 1.5 as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":1e400}`, "cannot use the number 1e400 as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":99999999999999999999}`, "cannot use the number 99999999999999999999 as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":3000000000}`, whole, "INT_INVALID"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":"1"}`, whole + ", without quotes", "INT_INVALID"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":true}`, "cannot use true as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{`query($n: Int) { products(first: $n) { edges { cursor } } }`, `{"n":[1]}`, "cannot use a list as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{nested, `{"in":{"sku":"MUG","quantity":1.5}}`, "cannot use the number 1.5 as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{nested, `{"in":{"sku":"MUG","quantity":1e400}}`, "cannot use the number 1e400 as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{nested, `{"in":{"sku":"MUG","quantity":3000000000}}`, whole, "INT_INVALID"},
		{nested, `{"in":{"sku":"MUG","quantity":1000000000000000000000000000000000000000000}}`, "cannot use a number of 43 characters as Int: " + whole, "GRAPHQL_VALIDATION_FAILED"},
		{nested, `{"in":{"sku":{},"quantity":1}}`, "cannot use an object as String", "GRAPHQL_VALIDATION_FAILED"},
		{`query($s: String!) { product(sku: $s) { name } }`, `{"s":1.5}`, "a String is text; put the number 1.5 into quotes", "STRING_INVALID"},
		{`query($s: String!) { product(sku: $s) { name } }`, `{"s":false}`, "cannot use false as String", "GRAPHQL_VALIDATION_FAILED"},
		{`query($i: ID!) { order(id: $i) { id } }`, `{"i":1e2}`, "an ID is text or a whole number, not 1e2", "STRING_INVALID"},
	} {
		r := raw(t, w.api, "POST", "/graphql", admin, `{"query":"`+c.query+`","variables":`+c.variables+`}`, "Content-Type", "application/json")
		r.fails("BAD_USER_INPUT", c.reason)
		if len(r.Errors) == 1 && r.Errors[0].Message != c.message {
			t.Errorf("%s: %q, want %q", c.variables, r.Errors[0].Message, c.message)
		}
	}
}
