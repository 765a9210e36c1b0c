#!/bin/sh
# Runs every test of the module and prints the packages by time, the slowest last: those where goroutines meet under the race
# detector if a C compiler is there, all of them with RACE=1. TIMEOUT bounds a package. What a package prints is shown when
# it fails.
set -eu
raced='/(commands|feed|relay|sagas|queries|eventstore|internal/rabbit|internal/run|internal/vault|internal/providers/.*|cmd/annald)$'
out=$(mktemp)
trap 'rm -f "$out"' EXIT
began=$(date +%s)
status=0
# Two packages at once: they share two cores with the servers. Never behind a pipe: its status would be lost with the subshell.
run() {
	go test -timeout "${TIMEOUT:-10m}" -p "${PARALLEL:-2}" -count=1 "$@" >>"$out" 2>&1 || status=1
}
all=$(go list ./...)
# shellcheck disable=SC2046,SC2086 # package names are words
if [ "${RACE:-}" = 1 ]; then
	run -race $all
elif command -v "${CC:-cc}" >/dev/null 2>&1; then
	run -race $(echo "$all" | grep -E "$raced")
	run $(echo "$all" | grep -Ev "$raced")
else
	echo "no C compiler: nothing runs under the race detector"
	run $all
fi
grep -v -e '^ok ' -e 'no test files' "$out" || :
echo
echo "seconds  package"
awk '$1 == "ok" { t = $3; sub(/s$/, "", t); printf "%7.1f  %s\n", t, $2 }' "$out" | sort -n
echo "$(($(date +%s) - began)) s in all, $(grep -c '^ok ' "$out" || :) packages ok, $(grep -c '^FAIL[[:space:]]' "$out" || :) failed"
[ "$status" = 0 ] && deploy/local/fuzz.sh || status=1
echo "$(($(date +%s) - began)) s with the fuzzers"
exit $status
