package graph

import (
	"fmt"
	"slices"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/payment"
)

const page20 = `query($at: Position, $after: String) { orders(first: 20, after: $after, atLeast: $at) { pageInfo { hasNextPage endCursor }
	nodes { id number total { amount } lines { sku quantity total { amount } } payment { status amount { amount } } shipment { status tracking }
		customer { name } } } }`

// shopping places n orders of ada and opens payment and shipment of each as the saga would; it returns the last position.
func (w *world) shopping(n int) string {
	w.t.Helper()
	w.stocked()
	h := w.deps().Commands
	ctx, saga := w.t.Context(), auth.Internal("saga")
	var position string
	for i := range n {
		r := w.ask(ada, placeMutation, in(mugs(fmt.Sprint("order-", i), 1))).fine()
		raw := must(model.IDOf("Order", r.text("placeOrder.orderId")))
		must(h.AuthorisePayment(ctx, saga, commands.AuthorisePayment{Order: order.ID(raw), Customer: "ada", Amount: money.Of(450, "GBP"), Provider: "card", Token: payment.TokenOK}))
		done := must(h.CancelShipment(ctx, saga, commands.CancelShipment{Order: order.ID(raw), Customer: "ada", Reason: "test"}))
		position = model.Receipt{Receipt: done.Receipt}.Position().String()
	}
	return position
}

func TestAPageOfOrdersIsFourStatementsAtMost(t *testing.T) {
	w := newWorld(t)
	at := w.shopping(25)
	w.ask(ada, page20, map[string]any{"at": at}).fine() // waits until all is there, warms the vault's keys
	n, r := int64(1000), reply{}
	for range 3 { // a batch is cut in two if the machine stops for a millisecond in its middle
		before := w.statement.Load()
		r = w.ask(ada, page20, nil).fine()
		n = min(n, w.statement.Load()-before)
	}
	t.Logf("%d statements for 20 orders with lines, payment, shipment and customer", n)
	if n > 4 {
		t.Errorf("%d statements, want at most 4", n)
	}
	seen := map[string]bool{}
	for i := range 20 {
		node, _ := r.at("orders.nodes").([]any)[i].(map[string]any)
		if node["payment"] == nil || node["shipment"] == nil || node["customer"] == nil {
			t.Fatalf("order %d is not complete: %v", i, node)
		}
		seen[fmt.Sprint(node["id"])] = true
	}
	rest := w.ask(ada, page20, map[string]any{"after": r.text("orders.pageInfo.endCursor")}).fine()
	nodes, _ := rest.at("orders.nodes").([]any)
	for _, node := range nodes {
		seen[fmt.Sprint(node.(map[string]any)["id"])] = true
	}
	if len(seen) != 25 || rest.at("orders.pageInfo.hasNextPage") != false {
		t.Errorf("%d orders over two pages", len(seen))
	}
	w.ask(ada, `{ orders(first: 101) { nodes { id } } }`, nil).fails("BAD_USER_INPUT", "PAGE_INVALID")
	w.ask(ada, `{ orders(after: "x") { nodes { id } } }`, nil).fails("BAD_USER_INPUT", "CURSOR_INVALID")
}

func TestWhoSeesWhat(t *testing.T) {
	w := newWorld(t)
	at := map[string]any{"at": w.shopping(1)}
	id := w.ask(ada, `query($at: Position) { orders(atLeast: $at) { nodes { id payment { id } shipment { id } } } }`, at).fine()
	orderID, paymentID := id.text("orders.nodes.0.id"), id.text("orders.nodes.0.payment.id")
	byID := map[string]any{"id": orderID}
	const (
		see   = "see"
		null  = "null"
		who   = "UNAUTHENTICATED"
		never = "FORBIDDEN"
	)
	for _, tc := range []struct {
		query, path string
		variables   map[string]any
		wants       map[string]string
	}{
		{`query($id: ID!) { x: order(id: $id) { id } }`, "x", byID, map[string]string{nobody: who, ada: see, bob: null, admin: see, auditor: see, store: see}},
		{`query($id: ID!) { x: node(id: $id) { id } }`, "x", byID, map[string]string{nobody: who, ada: see, bob: null, admin: see}},
		{`query($id: ID!) { x: node(id: $id) { id } }`, "x", map[string]any{"id": paymentID}, map[string]string{nobody: who, ada: see, bob: null, admin: see}},
		{`{ x: customer(id: "` + model.GlobalID("Customer", "ada") + `") { email } }`, "x.email", nil, map[string]string{nobody: who, ada: see, bob: null, admin: see, auditor: never, store: never}},
		{`{ x: customers { nodes { id } } }`, "x", nil, map[string]string{nobody: who, ada: never, admin: see, auditor: never}},
		{`{ x: orders(filter: {customerId: "ada"}) { nodes { id } } }`, "x.nodes.0", nil, map[string]string{nobody: who, ada: see, bob: never, admin: see}},
		{`{ x: orders { nodes { id } } }`, "x.nodes.0", nil, map[string]string{nobody: who, ada: see, bob: null, admin: see}},
		{`query($id: ID!) { x: order(id: $id) { email } }`, "x.email", byID, map[string]string{ada: see, admin: see, auditor: null, store: null}},
		{`query($id: ID!) { x: order(id: $id) { name } }`, "x.name", byID, map[string]string{ada: see, admin: see, auditor: null, store: see}},
		{`{ x: products { nodes { sku inStock } } }`, "x.nodes.0.inStock", nil, map[string]string{nobody: see, ada: see}},
		{`{ x: product(sku: "MUG") { stock { onHand } } }`, "x.stock", nil, map[string]string{nobody: who, ada: never, store: see, auditor: see}},
		{`{ x: stock { nodes { available } } }`, "x", nil, map[string]string{nobody: who, ada: never, store: see}},
		{`{ x: sales(by: DAY) { nodes { key } } }`, "x", nil, map[string]string{nobody: who, ada: never, auditor: see, store: never}},
		{`{ x: projections { name position status } }`, "x.0", nil, map[string]string{nobody: who, ada: never, auditor: never, admin: see}},
		{`query($id: ID!) { x: notifications(orderId: $id) { nodes { id } } }`, "x", byID, map[string]string{nobody: who, ada: see, bob: see, admin: see}},
		{`{ x: me { kind principalId roles } }`, "x", nil, map[string]string{nobody: see, ada: see}},
	} {
		for token, want := range tc.wants {
			r := w.ask(token, tc.query, tc.variables)
			got := null
			switch {
			case len(r.Errors) > 0:
				got = r.Errors[0].Extensions.Code
			case r.at(tc.path) != nil:
				got = see
			}
			if got != want {
				t.Errorf("%s asks %s: %s, want %s: %.300s", token, tc.query, got, want, r.raw)
			}
		}
	}
}

func TestWhoMayChangeWhat(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	product := in(map[string]any{"sku": "NEW", "name": "New", "price": map[string]any{"amount": "1.00", "currencyCode": "GBP"}})
	w.ask(nobody, createMutation, product).fails("UNAUTHENTICATED", "UNAUTHENTICATED")
	w.ask(ada, createMutation, product).fails("FORBIDDEN", "FORBIDDEN")
	w.ask(nobody, placeMutation, in(mugs("anonymous", 1))).fails("UNAUTHENTICATED", "UNAUTHENTICATED")
	gift := mugs("for-ada", 1)
	gift["customerId"] = "ada"
	w.ask(bob, placeMutation, in(gift)).fails("FORBIDDEN", "FORBIDDEN")
	w.ask(admin, placeMutation, in(gift)).fine()
	tier := `mutation($in: ChangeTierInput!) { changeTier(input: $in) { customer { tier } receipt { position } userErrors { code } } }`
	vip := in(map[string]any{"customerId": "ada", "tier": "VIP", "reason": "buys a lot"})
	w.ask(ada, tier, vip).fails("FORBIDDEN", "FORBIDDEN")
	if r := w.ask(admin, tier, vip).fine(); r.at("changeTier.customer.tier") != "VIP" {
		t.Error(r.raw)
	}
	if r := w.ask(ada, placeMutation, in(mugs("as-vip", 1))).fine(); r.at("placeOrder.receipt.position") == nil {
		t.Error(r.raw)
	}
}

// Every other mutation once, with what it leaves behind.
func TestTheOtherMutations(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	for _, tc := range []struct {
		token, field, input, selection, path string
		in                                   map[string]any
		want                                 any
	}{
		{admin, "reviseProduct", "ReviseProductInput", "product { name price { amount } description }", "product.price.amount",
			map[string]any{"sku": "MUG", "price": map[string]any{"amount": "5", "currencyCode": "GBP"}}, "5.00"},
		{admin, "adjustStock", "AdjustStockInput", "stock { onHand }", "stock.onHand", map[string]any{"sku": "MUG", "cause": "COUNT", "quantity": 7, "reason": "stocktake"}, 7.0},
		{admin, "setStockThreshold", "SetStockThresholdInput", "stock { low threshold }", "stock.low", map[string]any{"sku": "MUG", "threshold": 9}, true},
		{ada, "updateProfile", "UpdateProfileInput", "customer { name }", "customer.name", map[string]any{"name": "Ada L"}, "Ada L"},
		{ada, "setAddress", "SetAddressInput", "customer { addresses { label address { city lines } } }", "customer.addresses.0.address.city",
			map[string]any{"label": "home", "address": map[string]any{"lines": []any{"1 High St", "Flat 2"}, "city": "Leeds", "country": "GB"}}, "Leeds"},
		{ada, "removeAddress", "RemoveAddressInput", "customer { addresses { label } }", "customer.addresses.0", map[string]any{"label": "home"}, nil},
		{ada, "setPreferences", "SetPreferencesInput", "customer { preferences { mail sms push } language }", "customer.preferences.sms",
			map[string]any{"mail": false, "sms": true, "push": false, "language": "de"}, true},
		{admin, "discontinueProduct", "DiscontinueProductInput", "product { onSale }", "product.onSale", map[string]any{"sku": "MUG", "reason": "out of fashion"}, false},
	} {
		r := w.ask(tc.token, fmt.Sprintf(`mutation($in: %s!) { x: %s(input: $in) { %s receipt { position } userErrors { field message code } } }`, tc.input, tc.field, tc.selection), in(tc.in)).fine()
		if got := r.at("x." + tc.path); got != tc.want || r.at("x.receipt.position") == nil {
			t.Errorf("%s: %v, want %v: %s", tc.field, got, tc.want, r.raw)
		}
	}
	w.ask(ada, `mutation($in: CancelOrderInput!) { cancelOrder(input: $in) { receipt { position } userErrors { field code } } }`,
		in(map[string]any{"orderId": model.GlobalID("Order", "none"), "reason": "x"})).refused("cancelOrder", "ORDER_NOT_FOUND")
	w.ask(ada, `mutation($in: CancelOrderInput!) { cancelOrder(input: $in) { receipt { position } userErrors { field code } } }`,
		in(map[string]any{"orderId": "forged", "reason": "x"})).refused("cancelOrder", "ID_INVALID")
	w.ask(ada, `mutation($in: DeliverOrderInput!) { deliverOrder(input: $in) { receipt { position } userErrors { code } } }`,
		in(map[string]any{"orderId": model.GlobalID("Order", "none")})).fails("FORBIDDEN", "FORBIDDEN")
	w.ask(ada, `mutation($in: ReturnLinesInput!) { returnLines(input: $in) { receipt { position } userErrors { code } } }`,
		in(map[string]any{"orderId": model.GlobalID("Order", "none"), "reason": "broken", "lines": []any{map[string]any{"line": 1, "quantity": 1}}})).refused("returnLines", "ORDER_NOT_FOUND")
}

func TestAnOperationWaitsForAllThatItReads(t *testing.T) {
	h, ok := newOdd(t, Config{}, nil, nil).(*handler)
	if !ok {
		t.Fatal("the API is not our handler")
	}
	seen := map[string][]string{
		`{ products(first: 1) { nodes { sku } } }`:                                                                                                             {"products"},
		`{ products(first: 1) { nodes { ...p } } } fragment p on Product { inStock }`:                                                                          {"products", "stock"},
		`{ orders { edges { node { payment { id } shipment { id } customer { id } } } } }`:                                                                     {"customers", "orders", "payments", "shipments"},
		`mutation { placeOrder(input: {lines: [], currency: "GBP", address: {lines: [], city: "", country: ""}, paymentToken: ""}) { receipt { position } } }`: nil,
	}
	for query, want := range seen {
		op, errs := h.exec.CreateOperationContext(graphql.StartOperationTrace(t.Context()), &graphql.RawParams{Query: query})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if got := slices.Sorted(slices.Values(weigh(op.Operation, nil).reads)); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", query, got, want)
		}
	}
}
