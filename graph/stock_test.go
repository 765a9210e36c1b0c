package graph

import "testing"

// Goods may arrive before their product is in the catalogue (docs/flow.md): they are counted, can't be ordered, and are on sale with the product.
func TestStockMayComeBeforeItsProduct(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	position := w.ask(admin, receiveMutation, in(map[string]any{"sku": "LATER", "quantity": 3})).fine().text("receiveStock.receipt.position")
	page := `query($at: Position) { stock(atLeast: $at, first: 100) { nodes { sku onHand } } product(sku: "LATER", atLeast: $at) { inStock } products(atLeast: $at, first: 100) { nodes { sku } } }`
	r := w.ask(admin, page, map[string]any{"at": position}).fine()
	if r.text("stock.nodes.0.sku") != "LATER" || r.at("stock.nodes.0.onHand") != 3.0 || r.at("product") != nil || r.text("products.nodes.0.sku") != "MUG" || r.at("products.nodes.1") != nil {
		t.Error(r.raw)
	}
	order := mugs("k", 1)
	order["lines"] = []any{map[string]any{"sku": "LATER", "quantity": 2}}
	w.ask(ada, placeMutation, in(order)).refused("placeOrder", "UNKNOWN_PRODUCT")
	w.product("LATER", "2.00", "GBP")
	w.ask(ada, placeMutation, in(order)).fine()
	sold := w.ask(ada, `mutation($in: PlaceOrderInput!) { placeOrder(input: $in) { receipt { position replayed } userErrors { code } } }`, in(order)).fine()
	if r := w.ask(ada, `query($at: Position) { product(sku: "LATER", atLeast: $at) { inStock } }`, map[string]any{"at": sold.text("placeOrder.receipt.position")}).fine(); r.at("product.inStock") != true {
		t.Error(sold.raw, r.raw)
	}
}
