#!/bin/sh
# `make session`: docs/session.sh against a fresh house, twice; the README holds its first part word for word; and one key at two
# API processes at the same moment is one order.
. test/house.sh
part() { sed -n '/the README.s session begins/,/the README.s session ends/p' docs/session.sh | sed '1d;$d'; }
WANT=$(part) awk 'BEGIN { RS = "\001" } { exit index($0, ENVIRON["WANT"]) ? 0 : 1 }' README.md ||
	{ echo "README.md does not hold the session of docs/session.sh word for word" >&2; exit 1; }

house_open
house_start
grep '^ready' "$HOUSE/start.out"
docs/session.sh & script=$!
HOUSE_PIDS=$script
for _ in $(seq 300); do # a minute is plenty
	kill -0 $script 2>/dev/null || break
	sleep 0.2
done
kill -0 $script 2>/dev/null && { echo 'the session does not end within a minute' >&2; exit 1; }
wait $script
docs/session.sh >"$HOUSE/second.out" || { cat "$HOUSE/second.out" >&2; exit 1; }
grep ' ms$' "$HOUSE/second.out"

echo '== one key at two API processes'
second=127.0.0.1:$(free_port)
(
	. "$ANNAL_HOME/servers.env"
	export ANNAL_POSTGRES_URL ANNAL_RABBITMQ_URL ANNAL_MODE=development ANNAL_HTTP_LISTEN="$second"
	ANNAL_ADMIN_LISTEN=127.0.0.1:$(free_port)
	export ANNAL_ADMIN_LISTEN
	exec bin/annald --roles api
) >"$HOUSE/second-api.log" 2>&1 & twin=$!
HOUSE_PIDS=$twin
for _ in $(seq 150); do
	curl -sf -o /dev/null "http://$second/readyz" && break
	sleep 0.2
done
. "$ANNAL_HOME/tokens.env"
place() { # address, key, units, file
	curl -sS "http://$1/graphql" -H "authorization: Bearer $CUSTOMER_TOKEN" -H 'content-type: application/json' -o "$4" --data-binary "$(
		printf '{"query":"mutation($k: String, $n: Int!) { placeOrder(input: {idempotencyKey: $k, lines: [{sku: \\"MUG-1\\", quantity: $n}], currency: \\"GBP\\", '
		printf 'paymentToken: \\"tok_ok\\", address: {lines: [\\"1 High Street\\"], city: \\"Leeds\\", country: \\"GB\\"}}) { orderId receipt { position commandId } userErrors { code } } }",'
		printf '"variables":{"k":"%s","n":%d}}' "$2" "$3")"
}
count() { # orders of the customer
	curl -sS "http://$1/graphql" -H "authorization: Bearer $CUSTOMER_TOKEN" -H 'content-type: application/json' \
		--data-binary '{"query":"{ orders(first: 100) { nodes { id } } }"}' | tr '{' '\n' | grep -c '"id"'
}
house_settled 60
before=$(count "$second")
a=$HOUSE/a b=$HOUSE/b
for key in k1 k2 k3 k4 k5; do # the same input: one order, one answer
	place "$http" "$key" 1 "$a" & one=$!
	place "$second" "$key" 1 "$b" & two=$!
	wait $one && wait $two
	grep -q '"orderId":"' "$a" && cmp "$a" "$b" || { cat "$a" "$b"; echo "equal input under one key: two answers" >&2; exit 1; }
done
for key in d1 d2 d3 d4 d5; do # different input: one order, one typed error
	place "$http" "$key" 1 "$a" & one=$!
	place "$second" "$key" 2 "$b" & two=$!
	wait $one && wait $two
	[ "$(cat "$a" "$b" | grep -o '"orderId":"' | wc -l)" -eq 1 ] && [ "$(cat "$a" "$b" | grep -o IDEMPOTENCY_KEY_REUSED | wc -l)" -eq 1 ] ||
		{ cat "$a" "$b"; echo "different input under one key: not one order and one error" >&2; exit 1; }
done
house_settled 60
[ "$(count "$http")" -eq $((before + 10)) ] || { echo "10 keys made $(($(count "$http") - before)) orders" >&2; exit 1; }
echo '10 keys, 20 calls at two processes: 10 orders'
