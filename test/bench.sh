#!/bin/sh
# `make bench`: the benchmarks that measure the product beside its bare layer in the same run, one after the other, and one table of
# what they report. Absolute figures move with the machine; the ratios are what counts. BENCH selects by name.
set -eu
mkdir -p bin
echo 'starting the servers; each benchmark is compiled before it runs, which takes minutes with a cold build cache'
go build -o bin/annal-local ./deploy/local
bin/annal-local servers >/dev/null
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
bench() { # package, pattern, benchtime
	case "$1 $2" in *${BENCH:-}*) ;; *) return 0 ;; esac
	echo "== $1 $2 (load $(cut -d ' ' -f 1-3 /proc/loadavg 2>/dev/null || echo unknown))"
	go test -run '^$' -bench "$2" -benchtime "$3" -count 1 -timeout 10m "$1" >"$out.now" 2>&1 || { cat "$out.now"; status=1; }
	grep '^Benchmark' "$out.now" | tee -a "$out" | cut -c 1-160
	rm -f "$out.now"
}
bench ./eventstore/engine '^BenchmarkAppend$' 1x
bench ./eventstore '^Benchmark(Append|ReadAll)$' 2s
bench ./eventstore/server '^Benchmark' 1x
case ${BENCH:-} in
large) # ten million events, about 1 GB of disk, many minutes: only if asked for
	go test -run '^$' -bench '^BenchmarkLarge$' -benchtime 1x -timeout 60m ./eventstore/engine -args -large "${EVENTS:-10000000}" | tee "$out" || status=1
	;;
esac
bench ./relay '^BenchmarkRelay$' 1x
bench ./projections '^BenchmarkProjector$' 1x
bench ./graph '^Benchmark' 2s
bench ./sagas '^BenchmarkOneLineOrders$' 2000x
echo
echo 'all of it, a measure a line:'
awk '{ name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) if ($(i + 1) !~ /^(ns|B|allocs)\/op$/) printf "%-32s %14s  %s\n", name, $i, $(i + 1) }' "$out"
exit $status
