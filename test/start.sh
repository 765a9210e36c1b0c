#!/bin/sh
# How long `annald --roles eventstore` takes from exec to its first answer: one binary, no configuration but a home of its own and two free
# ports. Five starts, the first on an empty home. Prints milliseconds; asserts that it answers, not how fast. PORT and the one above must be free.
set -eu
port=${PORT:-22117}
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
echo 'building annald (with a cold build cache that takes minutes)'
go build -o bin/ ./cmd/annald
for start in 1 2 3 4 5; do
	began=$(date +%s%N)
	ANNAL_HOME="$home" ANNAL_EVENTSTORE_LISTEN="127.0.0.1:$port" ANNAL_ADMIN_LISTEN="127.0.0.1:$((port + 1))" \
		bin/annald --roles eventstore >"$home/log" 2>&1 &
	pid=$!
	until curl -s -o /dev/null --max-time 1 --http2-prior-knowledge "http://127.0.0.1:$port/"; do
		kill -0 "$pid" 2>/dev/null || { cat "$home/log"; exit 1; }
		[ $((($(date +%s%N) - began) / 1000000000)) -lt 30 ] || { echo "no answer in 30 s"; kill "$pid"; exit 1; }
	done
	echo "start $start: answered after $((($(date +%s%N) - began) / 1000000)) ms"
	kill "$pid"
	wait "$pid" || :
done
