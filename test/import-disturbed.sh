#!/bin/sh
# `make import-disturbed FILE=...`: a house imports the file in peace. A fresh one is disturbed in the middle of it: annald gets
# kill -9, RabbitMQ loses its data directory, both come back, the import itself is interrupted and run again. The read models
# must have equal digests: no order lost, none twice, no penny elsewhere.
. test/house.sh
file=${1:?file}
export ANNAL_TIMEZONE=Europe/London SAMPLE=none
house_open
calm=$(mktemp)

position() { house_metrics 2>/dev/null | awk '/^annal_relay_checkpoint_position / { p = $2 } END { print p + 0 }'; }
# reached percent: waits until that part of the undisturbed history is written; the import must still be under way then.
reached() {
	until [ "$(position)" -ge $((end * $1 / 100)) ]; do
		kill -0 "$import" 2>/dev/null || { echo "the import ended before $1% of the history: $(cat "$HOUSE/import.out")" >&2; exit 1; }
		sleep 0.1
	done
	kill -0 "$import" 2>/dev/null || { echo "the import was over at $1%: nothing was disturbed" >&2; exit 1; }
	echo "$1%: $2"
}

house_start
began=$(seconds)
bin/annal import online-retail "$file" >/dev/null 2>&1
house_settled
house_digest >"$calm"
end=$(position)
echo "undisturbed: $((($(seconds)) - began)) s, $end events, load $(load)"
bin/annal-local clean >/dev/null
mkdir -p "$ANNAL_HOME"
chmod 755 "$ANNAL_HOME"

house_start
began=$(seconds)
bin/annal import online-retail "$file" >"$HOUSE/import.out" 2>&1 &
import=$!
HOUSE_PIDS=$import
reached 40 'kill -9 of annald'
house_kill
house_start
reached 60 'RabbitMQ stopped, its data deleted, started again'
bin/annal-local broker wipe
bin/annal-local servers >/dev/null
reached 75 'the import interrupted'
kill -TERM "$import"
if wait "$import"; then echo 'the interrupted import says that it finished' >&2; exit 1; fi
bin/annal import online-retail "$file" >/dev/null 2>&1
house_settled
house_digest >"$HOUSE/disturbed"
echo "disturbed: $(($(seconds) - began)) s, $(position) events, load $(load)"
cmp "$calm" "$HOUSE/disturbed" || { diff "$calm" "$HOUSE/disturbed"; exit 1; }
echo "equal digests of $(wc -l <"$calm") read models"
rm -f "$calm"
