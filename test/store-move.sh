#!/bin/sh
# `make store-move`: a house moves to another event store as docs/embedded-store.md says: a first copy while history is imported, then annald is
# stopped, the rest is copied, what is derived is dropped, and annald starts with the other store's URL. The read models must
# have the digests they had before, and the shop must take orders.
. test/house.sh
file=${1:?file}
export ANNAL_TIMEZONE=Europe/London SAMPLE=none
house_open
other=127.0.0.1:$(free_port)

# store_alone home listen: annald with the role eventstore only; $store is its process.
store_alone() {
	mkdir -p "$1"
	(unset ANNAL_EVENTSTORE_URL; ANNAL_MODE=development ANNAL_HOME=$1 ANNAL_EVENTSTORE_LISTEN=$2 ANNAL_HTTP_LISTEN=127.0.0.1:0 ANNAL_ADMIN_LISTEN=127.0.0.1:0 \
		exec bin/annald --roles eventstore >>"$HOUSE/stores.log" 2>&1) &
	store=$!
	HOUSE_PIDS="$HOUSE_PIDS $store"
	for _ in $(seq 600); do
		answer=0
		curl -s --connect-timeout 1 -o /dev/null "http://$2" || answer=$?
		[ "$answer" = 7 ] || return 0 # 7: nobody listens yet
		sleep 0.1
	done
	tail -n 5 "$HOUSE/stores.log" >&2
	return 1
}

house_start
bin/annal import online-retail "$file" >"$HOUSE/import.out" 2>&1 &
import=$!
HOUSE_PIDS=$import
until [ "$(house_metrics 2>/dev/null | awk '/^annal_relay_checkpoint_position / { p = $2 } END { print p + 0 }')" -ge 500 ]; do
	kill -0 "$import" 2>/dev/null || { cat "$HOUSE/import.out" >&2; exit 1; }
	sleep 0.1
done
kill -TERM "$import"
wait "$import" && { echo 'the interrupted import says that it finished' >&2; exit 1; }
echo '== a first copy of a shop that runs, then more history'
store_alone "$HOUSE/other" "$other"
bin/annal store copy --to "esdb://$other?tls=false" 2>/dev/null
bin/annal import online-retail "$file" >"$HOUSE/import.out" 2>&1
house_settled
house_digest >"$HOUSE/before"
house_stop

echo '== annald is stopped: the rest'
store_alone "$ANNAL_HOME" "$ANNAL_EVENTSTORE_LISTEN"
source=$store
copied=$(bin/annal store copy --to "esdb://$other?tls=false" 2>/dev/null)
echo "$copied"
case "$copied" in '{"copied":0,'*) echo 'there was no rest: nothing was proved' >&2; exit 1 ;; esac
kill "$source"
wait "$source"

echo '== what is derived is dropped, annald starts with the other store'
. "$ANNAL_HOME/servers.env"
psql=$(command -v psql || echo "$(pg_config --bindir)/psql")
"$psql" -qX "$ANNAL_POSTGRES_URL" -v ON_ERROR_STOP=1 -f deploy/postgres/forget-derived.sql
rm -rf "$ANNAL_HOME/eventstore" # nobody can read the old one by mistake
export ANNAL_EVENTSTORE_URL="esdb://$other?tls=false"
house_start
house_settled
house_digest >"$HOUSE/after"
cmp "$HOUSE/before" "$HOUSE/after" || { diff "$HOUSE/before" "$HOUSE/after"; exit 1; }
echo "equal digests of $(wc -l <"$HOUSE/after") read models"
LIMIT_MS=20000 docs/session.sh # how fast is for `make session` to say
