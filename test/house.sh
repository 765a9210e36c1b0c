# Sourced by the scripts beside it: a house of one's own, in a temporary folder and on free ports, that leaves nothing behind.
# It runs beside `make run` and beside other houses. KEEP=1 keeps it for a look (its folder is printed). Needs curl.
#
#	house_open             choose folder and ports, build; everything is removed when the script ends
#	house_start | house_stop | house_kill    annald in the background | drained | kill -9
#	house_settled          wait until relay, sagas and read models stand at the same place and stay there
#	house_digest           the digests of the read models, one a line
#	HOUSE                  the folder; ANNAL_HOME is below it, files of a script's own stand beside that
#	HOUSE_PIDS             processes to be ended with the house
set -eu
command -v curl >/dev/null || { echo "this needs curl" >&2; exit 1; }

free_port() {
	while :; do
		_port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
		curl -s --connect-timeout 1 -o /dev/null "http://127.0.0.1:$_port" && continue
		[ $? = 7 ] && echo "$_port" && return # 7: nobody listens
	done
}

house_open() {
	mkdir -p bin
	echo '== building annald and annal (with a cold build cache that takes minutes)'
	go build -o bin/annal-local ./deploy/local
	go build -o bin/ ./cmd/...
	HOUSE=$(mktemp -d "${TMPDIR:-/tmp}/annal-XXXXXX") # files of the scripts
	chmod 755 "$HOUSE"                                # the database's user must come through
	ANNAL_HOME=$HOUSE/home
	mkdir -m 755 "$ANNAL_HOME"
	http=127.0.0.1:$(free_port) admin=127.0.0.1:$(free_port)
	ANNAL_HTTP_LISTEN=$http ANNAL_ADMIN_LISTEN=$admin ANNAL_EVENTSTORE_LISTEN=127.0.0.1:$(free_port)
	API=http://$http/graphql
	unset ANNAL_POSTGRES_URL ANNAL_RABBITMQ_URL ANNAL_RABBITMQ_MANAGEMENT_URL ANNAL_EVENTSTORE_URL ANNAL_MODE ROLES
	export ANNAL_HOME ANNAL_HTTP_LISTEN ANNAL_ADMIN_LISTEN ANNAL_EVENTSTORE_LISTEN API
	trap house_close EXIT
	trap 'exit 130' INT TERM HUP
}

house_close() {
	status=$?
	trap - EXIT
	for pid in ${HOUSE_PIDS:-}; do kill "$pid" 2>/dev/null || :; done # what the script left running
	if [ "$status" != 0 ] && [ -e "$ANNAL_HOME/annald.log" ]; then
		echo "== failed ($status); the end of annald.log:" >&2
		tail -n 15 "$ANNAL_HOME/annald.log" >&2
	fi
	if [ "${KEEP:-}" = 1 ]; then
		echo "kept: $HOUSE ANNAL_HOME=$ANNAL_HOME ANNAL_HTTP_LISTEN=$ANNAL_HTTP_LISTEN ANNAL_ADMIN_LISTEN=$ANNAL_ADMIN_LISTEN ANNAL_EVENTSTORE_LISTEN=$ANNAL_EVENTSTORE_LISTEN" >&2
	else
		{ bin/annal-local clean >&2 && rm -rf "$HOUSE"; } || status=1
	fi
	exit $status
}

house_start() { bin/annal-local start >"$HOUSE/start.out" 2>&1 || { cat "$HOUSE/start.out" >&2; return 1; }; }

house_stop() { bin/annal-local stop; }

# The pid is the one that annal-local wrote down; it ends nobody else's process.
house_kill() { kill -9 "$(awk '/"daemon"/ { ours = 1 } ours && /"pid"/ { gsub(/[^0-9]/, ""); print; exit }' "$ANNAL_HOME/local.json")"; }

house_metrics() { curl -sS "http://$ANNAL_ADMIN_LISTEN/metrics"; }

# house_settled [seconds]: three equal looks, a second apart, at which all stand at the same position. A relay that has confirmed nothing
# since its start says 0.
house_settled() {
	_looks=0 _before=
	for _ in $(seq "${1:-300}"); do
		_now=$(house_metrics | awk '/^annal_feed_position/ || /^annal_relay_checkpoint_position / && $2 > 0 { print $2 }' | sort -u)
		if [ "$(house_metrics | awk '/^annal_relay_leader / { print $2 }')" = 1 ] && [ -n "$_now" ] && [ "$(echo "$_now" | wc -l)" -eq 1 ] && [ "$_now" = "$_before" ]; then
			_looks=$((_looks + 1))
		else
			_looks=0
		fi
		[ "$_looks" -lt 3 ] || return 0
		_before=$_now
		sleep 1
	done
	echo "not settled after ${1:-300} s: $(house_metrics | grep -E '^annal_(relay_checkpoint_position|relay_leader|feed_position)')" >&2
	return 1
}

house_digest() { bin/annal projections digest; }

seconds() { date +%s; }
load() { cut -d ' ' -f 1-3 /proc/loadavg 2>/dev/null || uptime | sed 's/.*load average[s]*: //'; }
