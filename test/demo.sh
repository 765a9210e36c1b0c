#!/bin/sh
# `make demo`: three minutes of a bad day, in a house of its own. Orders flow at RATE a second for FOR seconds; meanwhile annald gets
# kill -9 and RabbitMQ loses its data directory. At the end the books are balanced (test/load), the read models are thrown away
# and folded again from the store, and one order tells its story.
. test/house.sh
span=${FOR:-60}
export SAMPLE=none
house_open
echo '== a fresh house'
house_start
grep '^ready' "$HOUSE/start.out"
. "$ANNAL_HOME/tokens.env"
export CUSTOMER_TOKEN ADMIN_TOKEN

echo "== orders flow: ${RATE:-20} a second for $span s"
go build -o "$HOUSE/load" ./test/load
"$HOUSE/load" -api "$API" -for "${span}s" -rate "${RATE:-20}" -ledger "$ANNAL_HOME/simulators/payments.jsonl" &
load=$!
HOUSE_PIDS=$load
sleep $((span / 4))
echo '== kill -9 of annald: API, event store, relay, projector, workers, sagas'
house_kill
sleep 2
house_start
echo "== annald is back: $(grep '^ready' "$HOUSE/start.out")"
sleep $((span / 6))
echo '== RabbitMQ is stopped and its data directory deleted'
bin/annal-local broker wipe
sleep 2
bin/annal-local servers >/dev/null
echo '== RabbitMQ is back, empty'
wait $load

echo '== the read models against a fresh fold of the store'
house_settled 60
house_digest >"$HOUSE/live"
bin/annal-local stop
. "$ANNAL_HOME/servers.env"
psql=$(command -v psql || echo "$(pg_config --bindir)/psql")
for schema in $("$psql" -qAtX "$ANNAL_POSTGRES_URL" -c "SELECT nspname FROM pg_namespace WHERE nspname ~ '_v[0-9]+\$' OR nspname IN ('projections', 'read')"); do
	"$psql" -qX "$ANNAL_POSTGRES_URL" -c "SET client_min_messages = warning; DROP SCHEMA \"$schema\" CASCADE"
done
house_start
house_settled 120
house_digest >"$HOUSE/fresh"
cmp "$HOUSE/live" "$HOUSE/fresh" || { diff "$HOUSE/live" "$HOUSE/fresh"; exit 1; }
cat "$HOUSE/fresh"
echo "equal digests of $(wc -l <"$HOUSE/fresh") read models, dropped and folded anew"

echo '== one order'
curl -sS "$API" -H "authorization: Bearer $CUSTOMER_TOKEN" -H 'content-type: application/json' --data-binary \
	'{"query":"{ orders(first: 1, filter: {status: SHIPPED}) { nodes { number status total { amount currencyCode } timeline { at type note } } } }"}' |
	sed 's/{"at":/\n    /g; s/"type"://g; s/"note"://g; s/[]["{}]//g'
echo
