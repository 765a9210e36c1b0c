package graph

import "testing"

func TestAnOrderIsPlacedAndRead(t *testing.T) {
	w := newWorld(t)
	w.stocked()
	r := w.ask(ada, `mutation($in: PlaceOrderInput!) { placeOrder(input: $in) {
		orderId receipt { position streamRevision stream commandId replayed } userErrors { code }
		order { id number status priority name email country total { amount currencyCode } placedAt address { lines city }
			lines { line sku name quantity returned unitPrice { amount } total { amount } } timeline { type at note }
			customer { customerId name email } payment { status } shipment { status } } } }`, in(mugs("k1", 2))).fine()
	id := r.text("placeOrder.orderId")
	for path, want := range map[string]any{
		"order.id": id, "order.status": "PLACED", "order.priority": "NORMAL", "order.name": "ada", "order.email": "ada@example.org",
		"order.total.amount": "9.00", "order.total.currencyCode": "GBP", "order.address.lines.0": "1 Sentinel Street",
		"order.lines.0.sku": "MUG", "order.lines.0.quantity": 2.0, "order.lines.0.total.amount": "9.00", "order.customer.name": "ada",
		"order.payment": nil, "order.shipment": nil, "order.timeline.0.type": "order.placed.v1", "order.timeline.0.note": nil, "receipt.replayed": false,
	} {
		if got := r.at("placeOrder." + path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	position := r.text("placeOrder.receipt.position")
	got := w.ask(ada, `query($id: ID!, $at: Position) { order(id: $id, atLeast: $at) { number lines { sku } } node(id: $id) { id ... on Order { status } } }`,
		map[string]any{"id": id, "at": position}).fine()
	if got.at("order.lines.0.sku") != "MUG" || got.at("node.status") != "PLACED" || got.at("node.id") != id {
		t.Error(got.raw)
	}
}
