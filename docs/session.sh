#!/bin/sh
# The README's session as a script, and two orders that must fail: `make session` runs it against a house of its own.
# It needs a running `make run` or `make start`, and curl. ANNAL_HOME says where, if not .annal.
set -eu

# ---- the README's session begins
ANNAL_HOME=${ANNAL_HOME:-.annal}
. "$ANNAL_HOME/tokens.env"
ANNAL_HTTP_LISTEN=$(sed -n 's/^ANNAL_HTTP_LISTEN=//p' "$ANNAL_HOME/servers.env")
ask() { # token, query: prints the answer
  printf '{"query":"%s"}' "$(printf %s "$2" | sed 's/"/\\"/g' | tr '\n' ' ')" |
    curl -sS "http://$ANNAL_HTTP_LISTEN/graphql" -H "authorization: Bearer $1" -H 'content-type: application/json' --data-binary @-
  echo
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# An administrator puts a product into the catalogue and receives ten of it.
ask "$ADMIN_TOKEN" 'mutation { createProduct(input: {idempotencyKey: "readme-mug", sku: "MUG-1", name: "Mug, blue",
  price: {amount: "7.50", currencyCode: "GBP"}}) { sku userErrors { code message } } }'
ask "$ADMIN_TOKEN" 'mutation { receiveStock(input: {sku: "MUG-1", quantity: 10}) { stock { available } userErrors { code message } } }'

# A customer registers and orders two.
ask "$CUSTOMER_TOKEN" 'mutation { registerCustomer(input: {idempotencyKey: "readme-anna", name: "Anna Example", email: "anna@example.com"}) {
  customerId userErrors { code message } } }'
placed=$(ask "$CUSTOMER_TOKEN" 'mutation { placeOrder(input: {lines: [{sku: "MUG-1", quantity: 2}], currency: "GBP", paymentToken: "tok_ok",
  address: {lines: ["1 High Street"], city: "Leeds", postalCode: "LS1 1AA", country: "GB"}}) {
  orderId receipt { position } userErrors { code message } } }')
echo "$placed"
order=$(echo "$placed" | field orderId) position=$(echo "$placed" | field position)
: "${order:?no order was placed}"

# Stock, payment, shipment and mail follow by themselves. atLeast makes sure that the read model knows the order already.
for _ in $(seq 100); do
  seen=$(ask "$CUSTOMER_TOKEN" "{ order(id: \"$order\", atLeast: \"$position\") { status total { amount currencyCode }
    payment { status captured { amount } } shipment { status tracking } timeline { type at note } } }")
  if echo "$seen" | grep -Eq '"status":"(SHIPPED|CANCELLED)"'; then break; fi
  sleep 0.1
done
echo "$seen"
ask "$ADMIN_TOKEN" '{ product(sku: "MUG-1") { stock { onHand reserved available } } }'
ls "$ANNAL_HOME/mail"
# ---- the README's session ends

fail() {
  echo "session: $1" >&2
  exit 1
}
has() { echo "$1" | grep -Fq "$2" || fail "$3: $1"; }
millis() { date +%s%N | cut -c 1-13; }
stock() { ask "$ADMIN_TOKEN" "{ product(sku: \"$1\"$2) { stock { onHand reserved available } } }" | sed 's/.*"stock":{\([^}]*\)}.*/\1/'; }
mails() { find "$ANNAL_HOME/mail" -type f | wc -l; }
# order SKU, units, payment token: sets placed, order and position
place() {
  placed=$(ask "$CUSTOMER_TOKEN" "mutation { placeOrder(input: {lines: [{sku: \"$1\", quantity: $2}], currency: \"GBP\", paymentToken: \"$3\",
    address: {lines: [\"1 High Street\"], city: \"Leeds\", postalCode: \"LS1 1AA\", country: \"GB\"}}) { orderId receipt { position } userErrors { code message } } }")
  order=$(echo "$placed" | field orderId) position=$(echo "$placed" | field position)
  [ -n "$order" ] && [ -n "$position" ] || fail "placeOrder: $placed"
}
look() {
  seen=$(ask "$CUSTOMER_TOKEN" "{ order(id: \"$order\", atLeast: \"$position\") { status cancelReason payment { status captured { amount } } shipment { status } timeline { type } } }")
}
# await what, tries: looks at the order until it holds what
await() {
  for _ in $(seq "$2"); do
    look
    if echo "$seen" | grep -Fq "$1"; then return 0; fi
    sleep 0.05
  done
  fail "no $1: $seen"
}

has "$seen" '"status":"SHIPPED"' 'the first order is not shipped'

echo '== an order from placeOrder to its mail'
stock_before=$(stock MUG-1 '') mails_before=$(mails) began=$(millis)
place MUG-1 1 tok_ok
await '"status":"SHIPPED"' 400
until [ "$(mails)" -gt "$mails_before" ]; do
  [ $(($(millis) - began)) -lt 20000 ] || fail 'no mail in the sink'
  sleep 0.02
done
took=$(($(millis) - began))
for what in order.confirmed.v1 payment.captured.v1 shipment.scheduled.v1 '"captured":{"amount":"7.50"}'; do has "$seen" "$what" "the order lacks $what"; done
expected=$(echo "$stock_before" | awk -F '[:,]' '{ printf "\"onHand\":%d,\"reserved\":%d,\"available\":%d", $2 - 1, $4, $6 - 1 }')
[ "$(stock MUG-1 '')" = "$expected" ] || fail "stock is $(stock MUG-1 ''), not $expected"
echo "confirmed, captured, stock reduced, shipped and told by mail in $took ms"
[ "$took" -le "${LIMIT_MS:-2000}" ] || fail "that is more than ${LIMIT_MS:-2000} ms"

echo '== orders that must fail'
ask "$ADMIN_TOKEN" 'mutation { createProduct(input: {idempotencyKey: "readme-rare", sku: "RARE-1", name: "Rare thing",
  price: {amount: "99.00", currencyCode: "GBP"}}) { sku userErrors { code message } } }'
ask "$ADMIN_TOKEN" 'mutation { receiveStock(input: {idempotencyKey: "readme-rare", sku: "RARE-1", quantity: 3}) { stock { available } userErrors { code message } } }'
for what in 'RARE-1 4 tok_ok' 'RARE-1 1 tok_declined'; do
  # shellcheck disable=SC2086 # three words
  place $what
  await '"status":"CANCELLED"' 400
  echo "$what: $seen"
  if echo "$seen" | grep -Eq '"captured":\{"amount":"[^"]*[1-9]'; then fail 'something was charged'; fi
  if echo "$seen" | grep -Eq 'payment.captured'; then fail 'something was charged'; fi
  [ "$(stock RARE-1 '')" = '"onHand":3,"reserved":0,"available":3' ] || fail "something stays reserved: $(stock RARE-1 '')"
done
echo 'both CANCELLED, nothing reserved, nothing charged'
