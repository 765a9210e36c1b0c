#!/bin/sh
# Runs every test of the module and prints the packages by time, the slowest last. With RACE=1 under the race detector.
# TIMEOUT bounds a package. What a package prints is shown when it fails.
set -eu
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# Two packages at once: they share two cores with the servers, and timing asserts should not fight.
set -- -timeout "${TIMEOUT:-10m}" -p "${PARALLEL:-2}" -count=1
if [ "${RACE:-}" = 1 ]; then set -- "$@" -race; fi
began=$(date +%s)
status=0
go test "$@" ./... >"$out" 2>&1 || status=$?
grep -v -e '^ok ' -e 'no test files' "$out" || :
echo
echo "seconds  package"
awk '$1 == "ok" { t = $3; sub(/s$/, "", t); printf "%7.1f  %s\n", t, $2 }' "$out" | sort -n
echo "$(($(date +%s) - began)) s in all, $(grep -c '^ok ' "$out" || :) packages ok, $(grep -c '^FAIL[[:space:]]' "$out" || :) failed"
[ "$status" = 0 ] && deploy/local/fuzz.sh || status=1
echo "$(($(date +%s) - began)) s with the fuzzers"
exit $status
