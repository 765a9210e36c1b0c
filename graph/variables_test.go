package graph

import "testing"

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
